import contextlib
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.cli.ingest.cloudtrail import outcome_of, to_event
from audit.cli.ingest.lines import Line
from audit.cli.ingest.mapping import BadLine
from audit.log.prepare import prepare_call
from audit.model.event import Actor, NewEvent, Target

RECORDS = Path(__file__).parents[3] / "data" / "cloudtrail.jsonl.gz"

RECORD: dict[str, Any] = {
    "eventSource": "iam.amazonaws.com",
    "eventName": "GetUser",
    "eventTime": "2024-07-31T12:00:01Z",
    "eventID": "5b1f",
    "awsRegion": "us-east-1",
    "sourceIPAddress": "10.0.0.1",
    "userAgent": "aws-cli/2",
    "requestID": "r-9",
    "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::1:user/ada", "principalId": "AIDA", "userName": "ada"},
    "resources": [{"ARN": "arn:aws:s3:::b", "type": "AWS::S3::Bucket"}, {"ARN": "arn:aws:s3:::c"}],
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def mapped(**changes: object) -> NewEvent:
    """Return the event of the sample record with some members changed; None leaves one out."""
    record = {name: value for name, value in (RECORD | changes).items() if value is not None}
    return to_event(Line(1, json.dumps(record).encode()))


def test_record_becomes_an_event_with_the_record_as_its_data() -> None:
    assert mapped() == NewEvent(
        topics=[("aws", "iam", "GetUser")],
        action="iam.GetUser",
        occurred_at=datetime(2024, 7, 31, 12, 0, 1, tzinfo=UTC),
        actor=Actor(type="IAMUser", id="arn:aws:iam::1:user/ada", name="ada"),
        targets=[
            Target(type="AWS::S3::Bucket", id="arn:aws:s3:::b"),
            Target(type="resource", id="arn:aws:s3:::c"),
        ],
        outcome="success",
        context={"ip": "10.0.0.1", "user_agent": "aws-cli/2", "request_id": "r-9", "region": "us-east-1"},
        data=RECORD,
        idempotency_key="5b1f",
    )


@pytest.mark.parametrize(
    ("identity", "actor_id"),
    [
        ({"arn": "A", "principalId": "P", "invokedBy": "I", "accountId": "1"}, "A"),
        ({"principalId": "P", "invokedBy": "I", "accountId": "1"}, "P"),
        ({"invokedBy": "I", "accountId": "1"}, "I"),
        ({"accountId": "1"}, "1"),
        ({}, "unknown"),
        (None, "unknown"),
        ("text", "unknown"),
        ({"arn": "", "principalId": None, "invokedBy": 3, "accountId": "1"}, "1"),
        ({"arn": "a" * 257, "principalId": "P"}, "P"),
    ],
)
def test_actor_is_the_first_id_there_is(identity: object, actor_id: str) -> None:
    actor = mapped(userIdentity=identity).actor
    assert actor is not None
    assert actor.id == actor_id


@pytest.mark.parametrize(
    ("error_code", "outcome"),
    [
        (None, "success"),
        ("", "success"),
        ("AccessDenied", "denied"),
        ("AccessDeniedException", "denied"),
        ("Client.UnauthorizedOperation", "denied"),
        ("UnauthorizedOperation", "denied"),
        ("NoSuchEntityException", "failure"),
        ("ThrottlingException", "failure"),
        ("NotAccessDenied", "failure"),
    ],
)
def test_outcome_follows_the_error_code(error_code: str | None, outcome: str) -> None:
    assert outcome_of(error_code) == outcome
    assert mapped(errorCode=error_code).outcome == outcome


@pytest.mark.parametrize("field", ["eventSource", "eventName", "eventTime", "eventID"])
@pytest.mark.parametrize("value", [None, "", 3])
def test_record_without_a_needed_field_is_a_bad_line_that_names_it(field: str, value: object) -> None:
    with pytest.raises(BadLine, match=field):
        mapped(**{field: value})


@pytest.mark.parametrize("time", ["yesterday", "2024-07-31T12:00:01", "2024-07-32T12:00:01Z"])
def test_time_without_a_date_or_zone_is_a_bad_line(time: str) -> None:
    with pytest.raises(BadLine, match="eventTime"):
        mapped(eventTime=time)


def test_more_resources_than_an_event_has_targets_stay_in_the_data() -> None:
    resources = [{"ARN": f"arn:{number // 2}"} for number in range(100)]
    event = mapped(resources=[*resources, {"ARN": "a" * 257}, 3, {"accountId": "1"}])
    assert [target.id for target in event.targets] == [f"arn:{number}" for number in range(32)]
    assert len(event.data["resources"]) == 103


def test_text_too_long_for_the_context_stays_in_the_data() -> None:
    event = mapped(userAgent="a" * 1_025)
    assert "user_agent" not in event.context
    assert event.data["userAgent"] == "a" * 1_025


@given(
    st.dictionaries(st.sampled_from(sorted(RECORD)), json_values),
    st.dictionaries(st.sampled_from(["type", "arn", "principalId", "accountId", "userName"]), json_values),
    st.lists(st.dictionaries(st.sampled_from(["ARN", "type"]), json_values), max_size=40),
)
def test_whatever_a_record_holds_it_is_an_event_or_a_bad_line(
    changes: dict[str, Any], identity: dict[str, Any], resources: list[dict[str, Any]]
) -> None:
    with contextlib.suppress(BadLine):
        event = mapped(**({"userIdentity": identity, "resources": resources} | changes))
        assert event.actor is not None
        assert event.idempotency_key
        assert len(event.targets) <= 32


def test_every_record_of_the_sample_is_accepted_by_the_log() -> None:
    with gzip.open(RECORDS) as lines:
        events = [to_event(Line(number, line)) for number, line in enumerate(lines, 1)]
    assert len(events) == 2_122
    for at in range(0, len(events), 500):
        prepare_call(events[at : at + 500])

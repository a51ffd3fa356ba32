import json
import logging
from http import HTTPStatus

import pytest

from audit.model import errors
from audit.protocol.errors import WIRE_CODES
from audit.server.problems import STATUSES, Problem, problem_of


def test_every_code_of_the_wire_has_a_status_and_no_other_has() -> None:
    assert set(STATUSES) == {entry.code for entry in WIRE_CODES}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InvalidParameter("seek", "is bad"), 400, "invalid_params"),
        (errors.CursorInvalid("cursor", "is bad"), 400, "cursor_invalid"),
        (errors.CursorExpired("cursor", "is old"), 410, "cursor_expired"),
        (errors.TooLarge("events", "too many"), 413, "too_large"),
        (errors.NotFound("no event"), 404, "not_found"),
        (errors.Conflict("idempotency_key", "used"), 409, "conflict"),
        (errors.Unauthorized("who?"), 401, "unauthorized"),
        (errors.Forbidden("no"), 403, "forbidden"),
        (errors.Overloaded("full"), 503, "overloaded"),
        (errors.Unavailable("fenced"), 503, "unavailable"),
        (errors.DiskFull("full"), 503, "unavailable"),
        (errors.StoreClosed("closed"), 503, "unavailable"),
        (errors.ClockSuspect("jumped"), 503, "clock_suspect"),
        (errors.OutcomeUnknown("?"), 500, "outcome_unknown"),
    ],
)
def test_an_error_keeps_its_code_and_gets_its_status(error: Exception, status: int, code: str) -> None:
    response, told = problem_of(error)
    body = json.loads(bytes(response.body))
    assert (response.status_code, told) == (status, code)
    assert response.media_type == "application/problem+json"
    assert (body["status"], body["code"]) == (status, code)
    assert body["title"]
    assert body["detail"]
    assert body["retryable"] is (code in {"overloaded", "unavailable", "outcome_unknown"})
    assert body.get("parameter") == getattr(error, "parameter", None)
    # Nobody but the operator can make a clock right, and only a key makes a retry after an unknown outcome safe.
    assert ("retry-after" in response.headers) == (code in {"overloaded", "unavailable"})
    assert ("www-authenticate" in response.headers) == (status == 401)


@pytest.mark.parametrize(
    "error", [ValueError("/etc/secret"), errors.StoreCorrupt("segment X", "damaged in /etc/secret")]
)
def test_a_fault_of_ours_is_told_to_the_log_and_not_to_the_peer(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "audit.server"):
        response, code = problem_of(error)
    assert (response.status_code, code) == (500, "internal")
    assert b"secret" not in bytes(response.body)
    assert "/etc/secret" in caplog.text


def test_what_only_http_refuses_has_a_code_of_its_own() -> None:
    response, code = problem_of(Problem(HTTPStatus.NOT_ACCEPTABLE, "not_acceptable", "on offer: x", {"a": "b"}))
    assert (response.status_code, code, response.headers["a"]) == (406, "not_acceptable", "b")
    assert json.loads(bytes(response.body)) == {
        "title": "Not Acceptable",
        "status": 406,
        "detail": "on offer: x",
        "code": "not_acceptable",
        "retryable": False,
    }

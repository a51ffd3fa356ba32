"""What is taken out of events, from the settings of a server."""

from pathlib import Path

import pytest

from audit import NewEvent
from audit.cli.scrubbing import scrub_of
from audit.cli.settings import ScrubRule, ScrubSettings
from audit.log.secrets import MASK
from audit.model.errors import InvalidParameter


def test_rules_of_the_settings_come_after_those_of_the_profile(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"k" * 32)
    rule = ScrubRule(way="mask", field="data.card", topics=["shop/pay"])
    scrub = scrub_of(ScrubSettings(profile="gdpr", rules=[rule], key_file=str(tmp_path / "key")), "scrub")
    event = NewEvent(topics=[("shop", "pay", "card")], context={"ip": "192.0.2.7"}, data={"card": "4111"})
    (after,) = scrub.events([event])
    assert after.data == {"card": MASK}
    assert after.context["ip"] == "192.0.2.0"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (ScrubSettings(profile="gdpr"), "scrub.key_file"),
        (ScrubSettings(key_file="/no/such/file"), "scrub.key_file"),
        (ScrubSettings(rules=[ScrubRule(way="mask"), ScrubRule(way="burn")]), "scrub.rules[1].way"),
        (ScrubSettings(rules=[ScrubRule(way="mask", topics=["a//b"])]), "scrub.rules[0].topics[1]"),
    ],
)
def test_what_is_wrong_is_named_as_it_is_written(settings: ScrubSettings, named: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        scrub_of(settings, "scrub")
    assert raised.value.parameter == named


def test_a_key_that_is_too_short_is_refused_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"k")
    with pytest.raises(InvalidParameter, match=r"key_file: must have at least 16 bytes"):
        scrub_of(ScrubSettings(key_file=str(tmp_path / "key")), "scrub")

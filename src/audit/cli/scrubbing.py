"""What is taken out of events, as the settings of `audit serve` have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from audit.cli.settings import ScrubSettings
from audit.log.scrub import GDPR, Rule, Scrub
from audit.model.errors import InvalidParameter
from audit.model.topic import parse_topic

__all__ = ["scrub_of"]


def scrub_of(settings: ScrubSettings, named: str) -> Scrub:
    """Return what is done to each event.

    Raises:
        InvalidParameter: a rule is out of form, or a hash has no key.
    """
    rules = [*(GDPR if settings.profile == "gdpr" else ())]
    for number, rule in enumerate(settings.rules):
        topics = tuple(parse_topic(topic, f"{named}.rules[{number}].topics") for topic in rule.topics)
        rules.append(Rule(way=cast("Any", rule.way), field=rule.field, pattern=rule.pattern, topics=topics))
    try:
        return Scrub(rules, key=_key(settings, named), secrets=settings.secrets)
    except InvalidParameter as error:
        if error.parameter.endswith(".way") and "needs a key" in error.problem:
            raise InvalidParameter(f"{named}.key_file", "is missing: hashes need a key of at least 16 bytes") from error
        before = len(rules) - len(settings.rules)
        raise InvalidParameter(_renumbered(error.parameter, named, before), error.problem) from error


def _key(settings: ScrubSettings, named: str) -> bytes | None:
    if settings.key_file is None:
        return None
    try:
        return Path(settings.key_file).read_bytes()
    except OSError as error:
        problem = f"can't read {settings.key_file}: {error.strerror or error}"
        raise InvalidParameter(f"{named}.key_file", problem) from error


def _renumbered(parameter: str, named: str, before: int) -> str:
    """Return the parameter as it stands in the settings: those of the profile come first, and are not written there."""
    head, bracket, rest = parameter.partition("[")
    if head != "scrub" or not bracket:
        return f"{named}.key_file"
    number, _, member = rest.partition("]")
    return f"{named}.rules[{int(number) - before}]{member}"

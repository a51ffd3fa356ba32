"""Rules as data: what policies, kept in a file, let somebody do, beside what they have been given.

A set of policies says of everybody and every verb on which topics it is allowed: a region, which is worked out once and
then looked up. The file is looked at as that of the tokens is; a new set takes the place of the old one as a whole, and
one that is not good leaves the old one in force. How policies are read and judged is for `cedar`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec
from cachetools import LRUCache

from audit.model.errors import AuditError, InvalidParameter
from audit.model.region import Region
from audit.model.topic import format_topic
from audit.server.access.port import Ask, Principal
from audit.server.access.tokenfile import Stamp, stamp_of

__all__ = ["CedarSettings", "Judgement", "Judges", "Policies", "PolicySet"]

_log: Final = logging.getLogger("audit.access")
_REMEMBERED: Final = 10_000
_MOST_BYTES: Final = 1024 * 1024


class CedarSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where policies are kept.

    Attributes:
        policies: A file of Cedar policies.
        entities: A file of entities in Cedar's JSON: groups and attributes of those who ask; None: there are none.
    """

    policies: str
    entities: str | None = None


class Judgement(NamedTuple):
    """What policies allow somebody by one verb.

    Attributes:
        region: On which topics.
        errors: What failed while that was found out; it is denied where something did.
    """

    region: Region
    errors: Sequence[str]


class PolicySet(Protocol):
    """Policies that were read and found to be sound."""

    by_address: bool
    """Whether it matters where somebody is."""

    def judge(self, principal: Principal, verb: str) -> Judgement:
        """Return what is allowed to somebody; takes some milliseconds, and may be called from any thread."""
        ...


Judges = Callable[[Sequence[str]], PolicySet]
"""Makes a set of policies of the texts of its files, or raises InvalidParameter."""


class _Read(NamedTuple):
    policies: PolicySet
    digests: list[str]


class Policies:
    """The policies that are in force, by their files, and what they come to for those who asked.

    Attributes:
        digests: SHA-256 of each file that is in force, in hexadecimal digits.
    """

    def __init__(self, files: Sequence[Path], judges: Judges) -> None:
        """Read the files. Blocks, shortly.

        Raises:
            InvalidParameter: one can't be read, or the policies are not sound.
        """
        self._files = files
        self._judges = judges
        self._stamps = self._look()
        self._set, self.digests = self._read()
        self._regions: LRUCache[tuple[object, ...], Region] = LRUCache(_REMEMBERED)
        self.version = 1
        """Grows whenever other policies come into force."""
        self.errors = 0
        """Times that a policy failed."""

    def region(self, principal: Principal, verb: str) -> Region:
        """Return where somebody may do something; on everything that is not in it, it is denied."""
        key = self._key(principal, verb)
        region = self._regions.get(key)
        return self._keep(key, principal, self._set.judge(principal, verb)) if region is None else region

    def visible(self, principal: Principal) -> Region:
        """Return what somebody may read by what they have been given and by the policies."""
        key = (*self._key(principal, "read"), principal.grant.topics)
        region = self._regions.get(key)
        if region is None:
            region = self._regions[key] = self.region(principal, "read") & Region.below(principal.grant.topics)
        return region

    def refusal(self, principal: Principal, ask: Ask) -> str | None:
        """Return why the policies do not allow something; None: they do."""
        region = self.region(principal, ask.verb)
        if ask.leading:
            # Both must lead to the same.
            region &= Region.below(principal.grant.topics)
        allows = region.leads if ask.leading else region.covers if ask.verb == "append" else region.whole
        for topic in ask.topics:
            if not allows(topic):
                return f"to {ask.verb} {format_topic(topic)} is more than the policies allow"
        return None if ask.topics or region else f"the policies allow nobody like you to {ask.verb}"

    async def prepare(self, principal: Principal) -> None:
        """Work out what somebody may do, in a thread, so that their calls need not wait for it."""
        judged = self._set
        missing = [verb for verb in sorted(principal.grant.verbs) if self._key(principal, verb) not in self._regions]
        for verb in missing:
            judgement = await asyncio.to_thread(judged.judge, principal, verb)
            if judged is not self._set:
                # Of policies that are not in force any more.
                return
            self._keep(self._key(principal, verb), principal, judgement)

    def _keep(self, key: tuple[object, ...], principal: Principal, judgement: Judgement) -> Region:
        for error in judgement.errors:
            self.errors += 1
            _log.warning("a policy fails for %s %r, which denies: %s", principal.kind, principal.name, error)
        self._regions[key] = judgement.region
        return judgement.region

    def _key(self, principal: Principal, verb: str) -> tuple[object, ...]:
        address = principal.address if self._set.by_address else ""
        return (principal.kind, principal.name, principal.role, address, verb)

    # The files

    async def reread(self) -> None:
        """Read the files again if one has changed."""
        found = await asyncio.to_thread(self._read_changed)
        if found is not None:
            self._set, self.digests = found
            self._regions.clear()
            self.version += 1
            _log.info("other policies are in force")

    def _read_changed(self) -> _Read | None:
        try:
            stamps = self._look()
            if stamps == self._stamps:
                return None
            # Told once for each change: who waits for them to be put right should not have to search for it.
            self._stamps = stamps
            return self._read()
        except (AuditError, OSError) as error:
            _log.error("the policies can't be read, those of before stay in force: %s", error)
            return None

    def _look(self) -> list[Stamp | None]:
        return [stamp_of(file) for file in self._files]

    def _read(self) -> _Read:
        texts = [_text_of(file) for file in self._files]
        return _Read(self._judges(texts), [hashlib.sha256(text.encode()).hexdigest() for text in texts])


def _text_of(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            text = opened.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise InvalidParameter(str(file), f"must be at most {_MOST_BYTES} bytes")
        return text.decode()
    except UnicodeDecodeError as error:
        raise InvalidParameter(str(file), "must be valid UTF-8") from error
    except OSError as error:
        raise InvalidParameter(str(file), f"can't be read: {error.strerror or error}") from error

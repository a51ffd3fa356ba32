"""Writes down who looked: what the journal has to tell, and what became of tokens, as events of the log's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from audit.log.clock import Clock
from audit.model.errors import AuditError
from audit.model.event import Outcome
from audit.model.topic import Topic
from audit.server.access.journal import Journal, Note, policies_event, token_events, topics_of
from audit.server.access.port import Principal, Record
from audit.server.access.tokens import Token

__all__ = ["Recorder"]

_log: Final = logging.getLogger("audit.access")
_MOST_EVENTS: Final = 500


class Recorder:
    """What is still to be written down of one log's access."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._journal = Journal()
        self._told_tokens: Mapping[str, Token] = {}
        self._told_policies: Sequence[str] = ()

    def note(
        self, what: str, principal: Principal, outcome: Outcome, topics: Sequence[Topic] = (), detail: str = ""
    ) -> None:
        """Remember what somebody did, or wanted to do."""
        note = Note(what, principal.kind, principal.name, principal.address, outcome, topics_of(topics), detail)
        self._journal.note(note, self._clock.wall_ms())

    async def record_tokens(self, tokens: Mapping[str, Token], record: Record) -> None:
        """Record the tokens that were made or revoked since; each once, also over restarts, by its key."""
        told = self._told_tokens
        if tokens is told:
            return
        events = [event for name, token in tokens.items() if told.get(name) != token for event in token_events(token)]
        for start in range(0, len(events), _MOST_EVENTS):
            try:
                await record(events[start : start + _MOST_EVENTS])
            except AuditError as error:
                _log.warning("what became of tokens is not recorded yet: %s", error)
                return
        self._told_tokens = tokens

    async def record_policies(self, digests: Sequence[str], record: Record) -> None:
        """Record that policies came into force, unless that was told of these; again after a restart."""
        if digests != self._told_policies:
            try:
                await record([policies_event(digests)])
            except AuditError as error:
                _log.warning("that policies came into force is not recorded yet: %s", error)
                return
            self._told_policies = digests

    async def record(self, record: Record, *, everything: bool) -> None:
        """Record what is due; `everything`: also what would be counted a while longer."""
        events = self._journal.due(self._clock.wall_ms(), everything=everything)
        if not events:
            return
        try:
            await record(events)
        except AuditError as error:
            # The log may be full, fenced or closed; those who look are not kept from it for that.
            _log.warning("%d records of access are lost: %s", len(events), error)

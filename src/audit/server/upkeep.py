"""What keeps a served log safe: a backup of it (`GET /v1/backup`), and a check of all records (`POST /v1/fsck`).

Both read in bounded pieces, in threads, and never hold up the writer. Both need the verb `admin` on everything; few run
at once. An answer that is under way can't become an error: a backup then ends without its footer, which its reader
takes for what it is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from audit.log.backup import Backup, Since
from audit.log.checking import check_open_log
from audit.model.errors import AuditError, Overloaded, Unavailable
from audit.protocol.errors import to_wire
from audit.server.access import Ask, Principal
from audit.server.context import ServerContext
from audit.server.queries import Query
from audit.storage.fsck import Report

__all__ = ["BACKUP", "LINES", "Upkeep"]

BACKUP: Final = "application/vnd.audit.backup"
LINES: Final = "application/x-ndjson"
_NAMES: Final = ("since", "since_id", "since_hash")
_AT_ONCE: Final = 2
_NOT_KEPT: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff", "x-accel-buffering": "no"}
_TELL_S: Final = 1.0
_WORK_S: Final = 0.005
_MAX_FINDINGS: Final = 1_000

_log: Final = logging.getLogger("audit.server")


class Upkeep:
    """The two routes of one server, and how much of this is under way."""

    def __init__(self) -> None:
        self._running = 0

    async def backup(self, context: ServerContext, principal: Principal, request: Request) -> Response:
        """Answer with a backup, from the event on that the query names."""
        query = Query(request.scope["query_string"], _NAMES)
        context.access.authorise(principal, Ask("admin", [()]))
        since = Since(query.number("since", 0), query.text("since_id"), query.text("since_hash"))
        backup = await context.core.threads.run(lambda: Backup(context.core, since))
        if request.method == "HEAD":
            return Response(headers=_NOT_KEPT, media_type=BACKUP)
        self._check_room(context)
        return StreamingResponse(self._pieces(context, backup), headers=_NOT_KEPT, media_type=BACKUP)

    async def fsck(self, context: ServerContext, principal: Principal, request: Request) -> Response:
        """Answer with lines of JSON: now and then how far the check is, at the end what it found."""
        Query(request.scope["query_string"], ())
        context.access.authorise(principal, Ask("admin", [()]))
        self._check_room(context)
        return StreamingResponse(self._findings(context), headers=_NOT_KEPT, media_type=LINES)

    def _check_room(self, context: ServerContext) -> None:
        if context.stopping.is_set():
            raise Unavailable("the server is stopping")
        if self._running >= _AT_ONCE:
            raise Overloaded(f"{_AT_ONCE} backups and checks are under way already")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def _pieces(self, context: ServerContext, backup: Backup) -> AsyncIterator[bytes]:
        pieces = iter(backup)
        with self._counted():
            while not context.stopping.is_set():
                try:
                    piece = await context.core.threads.run(lambda: next(pieces, None))
                except AuditError as error:
                    _log.warning("a backup ended: %s", error, exc_info=error.code == "store_corrupt")
                    return
                if piece is None:
                    return
                yield piece

    async def _findings(self, context: ServerContext) -> AsyncIterator[bytes]:
        check = _Check(context)
        with self._counted():
            # A thread of its own: it is long, and the readers' few are for what is short.
            running = asyncio.create_task(asyncio.to_thread(check.run))
            try:
                while not running.done():
                    await asyncio.wait((running,), timeout=_TELL_S)
                    if context.stopping.is_set():
                        check.stopped = True
                    yield _line({"checked": check.checked, "of": check.total})
                yield _line(running.result())
            finally:
                # Not waited for, as nobody is left who could: it looks soon.
                check.stopped = True


class _Check:
    """One check in its thread. The event loop reads how far it is, and sets `stopped`."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self.stopped = False
        self.checked = 0
        self.total = 0
        self._since = time.monotonic()

    def run(self) -> dict[str, object]:
        """Return what the last line says."""
        try:
            return _told(check_open_log(self._context.core, self._advance, self._pause))
        except AuditError as error:
            told = to_wire(error)
            return {"error": {"code": told.data.code, "message": told.message}}

    def _advance(self, checked: int, total: int) -> None:
        self.checked, self.total = checked, total

    def _pause(self) -> None:
        """Leave every other moment to those who serve."""
        if self.stopped:
            raise Unavailable("the check was given up")
        took = time.monotonic() - self._since
        if took >= _WORK_S:
            time.sleep(took)
            self._since = time.monotonic()


def _told(report: Report) -> dict[str, object]:
    findings = [{"record": one.record, "problem": one.problem} for one in report.findings]
    return {"events": report.events, "segments": report.segments, "findings": findings[:_MAX_FINDINGS]}


def _line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"

"""A client without its verbs: a connection, the feeds that it carries, and calls, tried as often as it takes."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio

from audit.client.address import Address
from audit.client.backoff import told_wait_s
from audit.client.connection import Connection
from audit.client.link import Lost, Result, contents
from audit.client.options import ClientOptions
from audit.client.subscribing import Feeds
from audit.model.errors import AuditError, Conflict, InvalidParameter, OutcomeUnknown, Overloaded, Unavailable

__all__ = ["RemoteCore"]


class RemoteCore:
    """One client of one server, in one event loop."""

    def __init__(self, address: Address, options: ClientOptions) -> None:
        self.options = options
        self.connection = Connection(address, options)
        self.feeds = Feeds(self.connection, options)

    async def call(self, method: str, params: Any, kind: Any, *, writes: bool = False) -> Any:
        """Return a result, over as many connections and tries as it takes.

        Args:
            method: Its name.
            params: Its parameters; of one that writes, with idempotency keys.
            kind: Type of the result.
            writes: Whether it may leave something behind although it failed.

        Raises:
            Unavailable: there was no answer in time; nothing was written.
            Overloaded: the server said that there will be none in time.
            OutcomeUnknown: the same, and it may have been written.
            StoreClosed: the client is closed.
            AuditError: what the server answered.
        """
        trial = _Trial(writes=writes)
        timeout_s = self.options.call_timeout_s
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                trial.deadline = limit.when()
                return contents(await self._try(method, params, trial), kind)
        except TimeoutError:
            if not limit.expired():
                raise
        except (InvalidParameter, Conflict):
            # Of the request itself: had an earlier try been carried out, this one would have been, too.
            raise
        except AuditError as error:
            if not trial.doubtful:
                raise
            raise OutcomeUnknown(f"the events may have been written or not: {error}") from error
        problem = f"no answer within {timeout_s:g} s" + (f": {trial.trouble}" if trial.trouble else "")
        if trial.doubtful:
            raise OutcomeUnknown(f"the events may have been written or not: {problem}") from trial.trouble
        raise Unavailable(f"{self.connection.shown}: {problem}") from trial.trouble

    async def _try(self, method: str, params: Any, trial: _Trial) -> Result:
        while True:
            link = await self.connection.connected()
            trouble: AuditError
            doubtful_before = trial.doubtful
            try:
                return await link.call(method, params, trial.sent)
            except Lost as error:
                # The next connection has its own delay.
                trial.trouble = error
                continue
            except OutcomeUnknown as error:
                trial.trouble = trouble = error
            except (Overloaded, Unavailable) as error:
                trial.trouble = trouble = error
                trial.doubtful = doubtful_before
            except AuditError:
                trial.doubtful = doubtful_before
                raise
            if trial.is_out_of_reach(trouble):
                raise trouble
            await anyio.sleep(self.options.backoff.wait_s(trial.failures, trouble))
            trial.failures += 1


class _Trial:
    """What has become of one call so far."""

    def __init__(self, *, writes: bool) -> None:
        self.writes = writes
        self.doubtful = False
        """Whether it may have been written."""
        self.trouble: AuditError | None = None
        self.failures = 0
        self.deadline: float | None = None
        """When it is to end, by the loop's clock; None: never."""

    def is_out_of_reach(self, error: AuditError) -> bool:
        """Return whether the server said that another try is of no use before the end."""
        wait_s, deadline = told_wait_s(error), self.deadline
        return wait_s > 0 and deadline is not None and asyncio.get_running_loop().time() + wait_s > deadline

    def sent(self) -> None:
        """From here on it may be carried out, whatever becomes of who waits for it."""
        self.doubtful = self.writes

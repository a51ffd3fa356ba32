"""What access control costs a call: a server that knows its callers and one that does not, asked in turn."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from audit import Audit, NewEvent
from audit.client import RemoteAudit, connect
from audit.log.clock import SystemClock
from audit.server.access.guard import AccessRules, GuardedAccess
from audit.server.access.rules import ROLES
from audit.server.access.tokenfile import NAME, add_token
from audit.server.access.tokens import ID_BYTES, SECRET_BYTES, new_token

ROUNDS = 15
CALLS = 400


async def main() -> None:
    """Print the time of a page of 10 in both, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        text, token = new_token(bytes(ID_BYTES + SECRET_BYTES), 0, role="reader", topics=[("a", "b")], roles=ROLES)
        async with Audit.open(data, create=True) as log:
            add_token(data / NAME, token)
            await log.append_many([NewEvent(topics=[("a", "b", "c")], data=number) for number in range(500)])
            guard = GuardedAccess(data / NAME, AccessRules(), SystemClock())
            async with (
                log.serve("127.0.0.1:0") as free,
                log.serve("127.0.0.1:0", access=guard) as guarded,
                connect(free.urls[0]) as anybody,
                connect(guarded.urls[0], token=text) as somebody,
            ):
                await _rounds(anybody, somebody)


async def _rounds(anybody: RemoteAudit, somebody: RemoteAudit) -> None:
    times: dict[str, list[float]] = {"open": [], "authorised": []}
    for _ in range(ROUNDS):
        for name, log in (("open", anybody), ("authorised", somebody)):
            times[name].append(await _calls(log))
    for name, found in times.items():
        print(f"{name:<12} {statistics.median(found):7.1f} us a page of 10 (least {min(found):.1f})")
    ratios = [b / a for a, b in zip(times["open"], times["authorised"], strict=True)]
    print(f"authorised / open: {statistics.median(ratios):.3f} ({min(ratios):.3f} - {max(ratios):.3f})")


async def _calls(log: RemoteAudit) -> float:
    began = time.process_time()
    for _ in range(CALLS):
        await log.list(("a", "b"), limit=10)
    return (time.process_time() - began) / CALLS * 1e6


if __name__ == "__main__":
    uvloop.run(main())

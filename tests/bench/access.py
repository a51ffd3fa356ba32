"""What access control costs a call: a server that knows its callers, one with policies, and an open one, in turn."""

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
from audit.server.access.cedar import CedarPolicies
from audit.server.access.guard import GuardedAccess
from audit.server.access.policies import Policies
from audit.server.access.port import Principal
from audit.server.access.rules import ROLES, AccessRules, Grant
from audit.server.access.tokenfile import NAME, add_token
from audit.server.access.tokens import ID_BYTES, SECRET_BYTES, new_token

POLICIES = "\n".join(
    [
        'permit(principal in Role::"reader", action, resource in Topic::"a") unless { resource in Topic::"a/secret" };',
        *(f'permit(principal, action == Action::"read", resource in Topic::"team/{number}");' for number in range(48)),
        'forbid(principal, action, resource) when { context.address.isInRange(ip("192.0.2.0/24")) };',
    ]
)
ROUNDS = 15
CALLS = 400


async def main() -> None:
    """Print the time of a page of 10 in each, and how it compares with the open one's."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        text, token = new_token(bytes(ID_BYTES + SECRET_BYTES), 0, role="reader", topics=[("a", "b")], roles=ROLES)
        async with Audit.open(data, create=True) as log:
            add_token(data / NAME, token)
            await log.append_many([NewEvent(topics=[("a", "b", "c")], data=number) for number in range(500)])
            guard = GuardedAccess(data / NAME, AccessRules(), SystemClock())
            file = Path(folder) / "p.cedar"
            file.write_text(POLICIES, encoding="utf-8")
            rules = Policies([file], lambda texts: CedarPolicies(texts, roles=ROLES, tenant="", places=["p.cedar"]))
            judged = GuardedAccess(data / NAME, AccessRules(), SystemClock(), policies=rules)
            _first_look(rules, token.id)
            async with (
                log.serve("127.0.0.1:0") as free,
                log.serve("127.0.0.1:0", access=guard) as guarded,
                log.serve("127.0.0.1:0", access=judged) as policed,
                connect(free.urls[0]) as anybody,
                connect(guarded.urls[0], token=text) as somebody,
                connect(policed.urls[0], token=text) as under_policies,
            ):
                await _rounds({"open": anybody, "authorised": somebody, "policies": under_policies})


def _first_look(rules: Policies, name: str) -> None:
    who = Principal(name, "token", "reader", Grant(frozenset({"read"}), (("a", "b"),)), address="127.0.0.1")
    times = []
    for _ in range(20):
        rules._regions.clear()
        began = time.perf_counter()
        rules.region(who, "read")
        times.append(time.perf_counter() - began)
    told = f"{statistics.median(times) * 1e3:.2f} ms a verb"
    print(f"{len(POLICIES.splitlines())} policies judged for one more caller: {told}")


async def _rounds(logs: dict[str, RemoteAudit]) -> None:
    times: dict[str, list[float]] = {name: [] for name in logs}
    for _ in range(ROUNDS):
        for name, log in logs.items():
            times[name].append(await _calls(log))
    for name, found in times.items():
        ratios = [b / a for a, b in zip(times["open"], found, strict=True)]
        told = f"{statistics.median(ratios):.3f} of open ({min(ratios):.3f} - {max(ratios):.3f})"
        print(f"{name:<12} {statistics.median(found):7.1f} us a page of 10 (least {min(found):.1f}), {told}")


async def _calls(log: RemoteAudit) -> float:
    began = time.process_time()
    for _ in range(CALLS):
        await log.list(("a", "b"), limit=10)
    return (time.process_time() - began) / CALLS * 1e6


if __name__ == "__main__":
    uvloop.run(main())

"""Many logs behind one port: nothing crosses, and what nobody uses is closed."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from audit import Audit, Filter, NewEvent
from audit.app.keyfiles import create_key, load_signing_key, load_verifier_key
from audit.app.tenants import create_tenant, list_tenants, tenant_opener, tenant_path
from audit.client import connect
from audit.log.clock import SystemClock
from audit.log.scrub import Scrub
from audit.log.signing import Signing
from audit.metrics.builtin import EVENTS
from audit.metrics.query import Metric
from audit.model.errors import (
    CursorInvalid,
    NotFound,
    ProofInvalid,
    StoreExists,
    StoreMissing,
    Unauthorized,
    Unavailable,
)
from audit.proof.checkpoints import open_checkpoint
from audit.server.access import OpenAccess
from audit.server.access.guard import GuardedAccess
from audit.server.access.rules import ROLES, AccessRules
from audit.server.access.tokenfile import NAME, add_token
from audit.server.access.tokens import ID_BYTES, SECRET_BYTES, new_token
from audit.server.context import ServerContext
from audit.server.options import ServeOptions
from audit.server.served import ServedLog
from audit.server.serving import Serving
from tests.web import fetch

_NUMBERS = itertools.count()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return the directory of a store, which tenants' are beside."""
    Audit.init(tmp_path / "data")
    return tmp_path / "data"


def token(store: Path, role: str = "admin") -> str:
    """Return a token of a store, by its directory."""
    drawn = next(_NUMBERS).to_bytes(ID_BYTES, "big") + bytes(range(SECRET_BYTES))
    text, kept = new_token(drawn, 0, role=role, topics=[()], roles=ROLES)
    add_token(store / NAME, kept)
    return text


@asynccontextmanager
async def served(
    data: Path,
    *,
    guarded: bool = True,
    metrics: Sequence[Metric] = (),
    signing: Mapping[str, Signing] = MappingProxyType({}),
    **options: Any,
) -> AsyncIterator[Serving]:
    def access(path: Path) -> Any:
        return GuardedAccess(path / NAME, AccessRules(), SystemClock()) if guarded else OpenAccess()

    async with Audit.open(data) as log:
        tenants = tenant_opener(data, access, Scrub(), metrics, signing)
        serving = log.serve(
            "127.0.0.1:0", options=ServeOptions(**options), access=access(data) if guarded else None, tenants=tenants
        )
        async with serving as server:
            yield server


def url(server: Serving, tenant: str) -> str:
    return server.urls[0].replace("/rpc", f"/t/{tenant}/rpc")


def test_tenants_are_beside_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="audit init"):
        create_tenant(tmp_path, "acme")


def test_a_tenants_log_is_a_store_of_its_own(data: Path) -> None:
    create_tenant(data, "acme")
    create_tenant(data, "zoo-1")
    assert list_tenants(data) == ["acme", "zoo-1"]
    with pytest.raises(StoreExists):
        create_tenant(data, "acme")
    with Audit.open_sync(tenant_path(data, "acme")) as log:
        log.append(NewEvent(topics=[("a",)]))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "A", "a_b", "-a", "a-", "a" * 64, "a\n", "a\0", "é", "%2e%2e", "../acme", "acme/.."]
)
def test_a_name_is_no_path(data: Path, name: str) -> None:
    with pytest.raises(NotFound):
        create_tenant(data, name)
    assert list_tenants(data) == []


async def test_one_browser_is_signed_in_to_several_tenants(data: Path) -> None:
    stores = {"": data}
    for name in ("acme", "zoo-1"):
        create_tenant(data, name)
        stores[f"/t/{name}"] = tenant_path(data, name)
    tokens = {path: token(store) for path, store in stores.items()}
    async with served(data) as server:
        base = server.addresses[0]
        jar: dict[str, str] = {}
        for path, secret in tokens.items():
            known = {"authorization": f"Bearer {secret}"}
            answer = await fetch(base, f"{path}/v1/session", method="POST", headers=known)
            name, _, value = answer.headers["set-cookie"].split(";")[0].partition("=")
            jar[name] = value
        assert len(jar) == len(stores)
        cookies = {"cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
        for path in stores:
            assert (await fetch(base, f"{path}/v1/events", headers=cookies)).status == 200
        assert (await fetch(base, "/t/acme/v1/session", method="DELETE", headers=cookies)).status == 204
        statuses = [(await fetch(base, f"{path}/v1/events", headers=cookies)).status for path in stores]
        assert statuses == [200, 401, 200]


async def test_nothing_crosses(data: Path) -> None:
    for name in ("acme", "zoo"):
        create_tenant(data, name)
    own = {name: token(tenant_path(data, name)) for name in ("acme", "zoo")}
    async with served(data) as server:
        for name, other in (("acme", "zoo"), ("zoo", "acme")):
            with pytest.raises(Unauthorized, match="not known here"):
                await connect(url(server, name), token=own[other])
            with pytest.raises(Unauthorized, match="not known here"):
                await connect(server.urls[0], token=own[name])
        async with (
            connect(url(server, "acme"), token=own["acme"]) as acme,
            connect(url(server, "zoo"), token=own["zoo"]) as zoo,
        ):
            mine = await acme.append(NewEvent(topics=[("a",)], idempotency_key="k"))
            theirs = await zoo.append(NewEvent(topics=[("b",)], idempotency_key="k"))
            assert mine.id != theirs.id
            page = await acme.list(("a",))
            assert [event.id for event in page.events] == [mine.id]
            with pytest.raises(NotFound):
                await zoo.get(mine.id)
            with pytest.raises(CursorInvalid):
                await zoo.list(("a",), cursor=page.cursor)
            assert (await acme.server_info()).store.id != (await zoo.server_info()).store.id


async def test_a_tenants_log_is_signed_with_a_key_of_its_own(data: Path, tmp_path: Path) -> None:
    for name in ("acme", "zoo"):
        create_tenant(data, name)
        create_key(tmp_path / f"{name}.key", f"{name}.example/audit")
    create_tenant(data, "none")
    signing = {
        name: Signing(keys=(load_signing_key(tmp_path / f"{name}.key", "key"),), checkpoint_file=tmp_path / name)
        for name in ("acme", "zoo")
    }
    async with served(data, guarded=False, signing=signing) as server:
        for name, other in (("acme", "zoo"), ("zoo", "acme")):
            async with connect(url(server, name)) as log:
                await log.append(NewEvent(topics=[("a",)]))
                note = await log.checkpoint()
            key = load_verifier_key(str(tmp_path / f"{name}.key.pub"))
            assert open_checkpoint(note, [key], f"{name}.example/audit").size == 1
            with pytest.raises(ProofInvalid):
                open_checkpoint(note, [load_verifier_key(str(tmp_path / f"{other}.key.pub"))], f"{name}.example/audit")
        async with connect(url(server, "none")) as log:
            assert (await log.server_info()).store.key is None
    # As they were closed.
    assert (tmp_path / "acme").read_text().startswith("acme.example/audit\n1\n")


async def test_whether_there_is_a_tenant_is_told_to_who_is_known_in_it(data: Path) -> None:
    create_tenant(data, "acme")
    async with served(data) as server:
        wrong = {"authorization": "Bearer audit_aaaaaaaa_" + "A" * 43}
        for headers in ({}, wrong, {"authorization": "Basic eDp5"}):
            there, not_there = [
                await fetch(server.addresses[0], f"/t/{name}/v1/events", headers=headers) for name in ("acme", "none")
            ]
            assert (there.status, there.body) == (not_there.status, not_there.body)
        told = []
        for name in ("acme", "none"):
            with pytest.raises(Unauthorized) as raised:
                await connect(url(server, name), token=wrong["authorization"].split()[1])
            told.append(str(raised.value).replace(name, ""))
        assert told[0] == told[1]


@pytest.mark.parametrize("path", ["/t/", "/t", "/t/../v1/events", "/t/%2e%2e/v1/events", "/t//v1/events", "/t/ACME/x"])
async def test_no_trick_with_a_path_leads_anywhere(data: Path, path: str) -> None:
    create_tenant(data, "acme")
    async with served(data, guarded=False) as server:
        assert (await fetch(server.addresses[0], path)).status == 404


async def test_what_nobody_uses_is_closed_and_opened_again(data: Path) -> None:
    create_tenant(data, "acme")
    async with served(data, guarded=False, tenant_idle_s=3_600.0) as server:
        tenants = server._tenants
        assert tenants is not None
        async with connect(url(server, "acme")) as log:
            await log.append(NewEvent(topics=[("a",)]))
            await tenants.close_idle(0)
            assert len(tenants) == 1
            # It goes on under a connection that is open.
            await log.append(NewEvent(topics=[("a",)]))
        async with asyncio.timeout(30):
            while len(tenants):
                await tenants.close_idle(0)
                await asyncio.sleep(0)
        # Closed: another process may have it now.
        with Audit.open_sync(tenant_path(data, "acme")) as closed:
            assert closed.info().size == 2
        async with connect(url(server, "acme")) as log:
            assert (await log.append(NewEvent(topics=[("a",)]))).index == 2


async def test_no_more_are_open_than_may_be(data: Path) -> None:
    names = [f"t{number}" for number in range(4)]
    for name in names:
        create_tenant(data, name)
    async with served(data, guarded=False, tenants=2) as server:
        for name in names * 2:
            assert (await fetch(server.addresses[0], f"/t/{name}/v1/events")).status == 200
            assert server._tenants is not None
            assert len(server._tenants) <= 2
        async with connect(url(server, "t0")), connect(url(server, "t1")):
            answer = await fetch(server.addresses[0], "/t/t2/v1/events")
            assert (answer.status, answer.json["code"]) == (503, "overloaded")


async def test_many_at_once_open_one_store_once(data: Path) -> None:
    create_tenant(data, "acme")
    async with served(data, guarded=False) as server:
        logs = await asyncio.gather(*[connect(url(server, "acme")) for _ in range(20)])
        assert {(await log.server_info()).store.size for log in logs} == {0}
        await asyncio.gather(*[log.close() for log in logs])


async def test_a_tenant_that_could_not_be_served_is_opened_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_tenant(data, "acme")
    made, failures = ServedLog.__init__, iter([Unavailable("a page can't be read")])

    def fails_once(served: ServedLog, context: ServerContext, *, local: bool) -> None:
        if context.core.meta.store_id != own and (failure := next(failures, None)) is not None:
            raise failure
        made(served, context, local=local)

    with Audit.open_sync(data) as log:
        own = log.info().store_id
    monkeypatch.setattr(ServedLog, "__init__", fails_once)
    async with served(data, guarded=False) as server:
        answers = [await fetch(server.addresses[0], "/t/acme/v1/events") for _ in range(2)]
        assert [answer.status for answer in answers] == [503, 200]


async def test_a_tenant_whose_store_is_damaged_hurts_no_other(data: Path) -> None:
    for name in ("acme", "zoo"):
        create_tenant(data, name)
    (tenant_path(data, "acme") / "log" / "CURRENT").unlink()
    async with served(data, guarded=False) as server:
        assert (await fetch(server.addresses[0], "/t/acme/v1/events")).status == 500
        assert (await fetch(server.addresses[0], "/t/zoo/v1/events")).status == 200
        assert (await fetch(server.addresses[0], "/v1/events")).status == 200


async def test_stopping_ends_tenants_in_order(data: Path) -> None:
    create_tenant(data, "acme")
    async with served(data, guarded=False) as server, connect(url(server, "acme")) as log:
        await log.append(NewEvent(topics=[("a",)]))
        async with log.subscribe() as tail:
            await tail.read(1)
            await server.close()
    with Audit.open_sync(tenant_path(data, "acme")) as closed:
        assert closed.info().size == 1


async def test_a_servers_metrics_hold_in_each_tenant_of_its_own_events(data: Path) -> None:
    for name in ("acme", "zoo"):
        create_tenant(data, name)
    metric = Metric(name="total", measure="sum", field="data")
    async with served(data, guarded=False, metrics=[EVENTS, metric]) as server:
        for name, values in (("acme", [1, 2]), ("zoo", [40])):
            async with connect(url(server, name)) as log:
                await log.append_many([NewEvent(topics=[("a",)], data=value) for value in values])
                assert (await log.metrics.get(metric="total")).total == sum(values)
                names = {one.metric.name for one in await log.metrics.list()}
                assert names >= {"audit.events", "total"}
    # It is in the store: whoever opens it next finds it.
    with Audit.open_sync(tenant_path(data, "zoo")) as log:
        assert log.metrics.get(metric="total").total == 40


async def test_a_hundred_tenants_fit_into_500_mb(data: Path) -> None:
    names = [f"t{number}" for number in range(100)]
    for name in names:
        create_tenant(data, name)
    before = _anonymous_mib()
    metrics = [
        EVENTS,
        Metric(name="texts", measure="distinct", field="data", group_by="topics.0.0"),
        *[Metric(name=f"m{n}", measure="quantiles", field="targets.0", pane="1s") for n in range(4)],
        *[Metric(name=f"n{n}", measure="count", filter=Filter(outcome="denied")) for n in range(4)],
    ]
    async with served(data, guarded=False, metrics=metrics) as server:
        logs = [await connect(url(server, name)) for name in names]
        events = [NewEvent(topics=[("a", "b")], data="x" * 200) for _ in range(500)]
        await asyncio.gather(*[log.append_many(events) for log in logs])
        await asyncio.gather(*[log.list(("a",), limit=500) for log in logs])
        totals = await asyncio.gather(*[log.metrics.get(metric="texts") for log in logs])
        assert [one.total for one in totals] == [1] * 100
        assert server._tenants is not None
        assert len(server._tenants) == 100
        assert _anonymous_mib() - before < 500
        await asyncio.gather(*[log.close() for log in logs])


def _anonymous_mib() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("RssAnon"))

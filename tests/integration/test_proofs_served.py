"""Proofs over the wire: asked for by our client, and over HTTP by one that knows only the formats."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import audit.client
from audit import Audit, Forbidden, InvalidParameter, NotFound, SyncAudit
from audit.codec.events import event_id_text
from audit.log.signing import Signing
from audit.proof.checkpoints import open_checkpoint
from audit.proof.keys import SigningKey, decode_base64
from audit.proof.leaves import leaf_hash, leaf_hashes, log_entries
from audit.proof.selections import selection_root
from audit.proof.tiles import decode_bundle
from audit.proof.verifying import verify_consistency, verify_inclusion
from audit.server.access import Ask, OpenAccess, Principal
from audit.testing.logs import memory_audit
from tests.stores import OPTIONS, TINY, event
from tests.web import fetch

KEY = SigningKey.new("audit.example/log", bytes(range(32)))
SIGNED = Signing(keys=(KEY,))


@asynccontextmanager
async def served(access: Any = None, signing: Signing = SIGNED) -> AsyncIterator[tuple[Audit, str, str]]:
    async with memory_audit(layout=TINY, options=OPTIONS, signing=signing) as log:
        for count in (1, 299, 300):
            await log.append_many([event("a", data=str(at)) for at in range(count)])
        async with log.serve("127.0.0.1:0", access=access) as server:
            yield log, server.urls[0], server.addresses[0]


async def test_a_client_gets_the_proofs_that_a_log_in_this_process_gives() -> None:
    async with served() as (log, url, _), audit.client.connect(url) as far:
        events = (await log.list(limit=1_000)).slices
        chosen = event_id_text(events[300]).decode()
        note = await far.checkpoint()
        checkpoint = open_checkpoint(note, [KEY.verifier], KEY.name)
        assert note == await log.checkpoint()
        assert await far.inclusion(chosen) == await log.inclusion(chosen)
        assert await far.consistency(7, 600) == await log.consistency(7, 600)
        proof = await far.inclusion(chosen)
        verify_inclusion(leaf_hash(events[300]), 300, checkpoint.size, proof.hashes, checkpoint.root)
        hashes = await far.selection([5, 300, 301], 600)
        assert selection_root([5, 300, 301], leaf_hashes(events[at] for at in (5, 300, 301)), 600, hashes) == (
            checkpoint.root
        )
        assert (await far.info()).key == KEY.verifier.text
        with pytest.raises(NotFound):
            await far.inclusion("0" * 26)
        with pytest.raises(InvalidParameter, match="to: must be a size the log has had, 0 to 600"):
            await far.consistency(1, 601)
        with pytest.raises(InvalidParameter, match="size: "):
            await far.selection([1], 601)


async def test_a_blocking_client_gets_them_too(tmp_path: Path) -> None:
    async with Audit.open(tmp_path / "data", create=True, signing=SIGNED) as log, log.serve("127.0.0.1:0") as server:
        receipts = await log.append_many([event("a"), event("b")])

        def ask() -> None:
            with audit.client.connect_sync(server.urls[0]) as far:
                near: SyncAudit = log.sync
                assert far.checkpoint() == near.checkpoint()
                assert far.inclusion(receipts[1].id) == near.inclusion(receipts[1].id)
                assert far.consistency(1, 2) == near.consistency(1, 2)
                assert far.selection([0], 2) == near.selection([0], 2)

        await log._core.threads.run(ask)


async def test_pages_and_notifications_carry_the_newest_signed_checkpoint() -> None:
    async with served() as (log, _, base):
        assert "checkpoint" not in (await fetch(base, "/v1/events?limit=1")).json
        note = await log.checkpoint()
        await log.append(event("a"))
        page = (await fetch(base, "/v1/events?limit=1")).json
        assert page["checkpoint"] == note
        assert list(page)[-1] == "events"


async def test_the_log_is_served_as_static_tiles() -> None:
    async with served() as (log, _, base):
        events = (await log.list(limit=1_000)).slices
        leaves = leaf_hashes(events)
        note = await fetch(base, "/checkpoint")
        assert note.headers["content-type"] == "text/plain; charset=utf-8"
        assert note.headers["cache-control"] == "no-cache"
        assert open_checkpoint(note.body.decode(), [KEY.verifier], KEY.name).size == 600
        for path, expected in (
            ("/tile/0/000", b"".join(leaves[:256])),
            ("/tile/0/002.p/88", b"".join(leaves[512:])),
            ("/tile/0/002.p/3", b"".join(leaves[512:515])),
        ):
            answer = await fetch(base, path)
            assert (answer.status, answer.body) == (200, expected)
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers["cache-control"] == "max-age=31536000, immutable"
        bundle = await fetch(base, "/tile/entries/002.p/88")
        assert decode_bundle(bundle.body) == log_entries(events[512:])
        assert (await fetch(base, "/tile/1/000.p/2")).status == 200
        for path in ("/tile/0/002", "/tile/0/002.p/89", "/tile/0/2", "/tile/9/000.p/1", "/tile/", "/tile/0/000.p/256"):
            assert (await fetch(base, path)).status == 404


async def test_the_same_over_plain_http() -> None:
    async with served() as (log, _, base):
        events = (await log.list(limit=1_000)).slices
        leaves = leaf_hashes(events)
        checkpoint = (await fetch(base, "/v1/log/checkpoint")).json["checkpoint"]
        root = open_checkpoint(checkpoint, [KEY.verifier], KEY.name).root
        chosen = event_id_text(events[3]).decode()
        told = (await fetch(base, f"/v1/log/inclusion?id={chosen}")).json
        assert decode_base64(told["leaf_hash"], "leaf") == leaves[3]
        verify_inclusion(leaves[3], told["index"], 600, [decode_base64(one, "hash") for one in told["hashes"]], root)
        told = (await fetch(base, "/v1/log/consistency?from=600&to=600")).json
        verify_consistency(600, root, 600, root, told["hashes"])
        for path, parameter in (
            ("/v1/log/inclusion", "id"),
            ("/v1/log/inclusion?id=x", "id"),
            ("/v1/log/consistency?from=1", "to"),
            ("/v1/log/consistency?from=-1&to=2", "from"),
            ("/v1/log/checkpoint?size=1", "size"),
        ):
            answer = await fetch(base, path)
            assert (answer.status, answer.json["parameter"]) == (400, parameter), path


async def test_a_log_without_a_key_says_so_and_answers_three_lines() -> None:
    async with served(signing=Signing()) as (log, url, base), audit.client.connect(url) as far:
        assert len((await far.checkpoint()).splitlines()) == 3
        assert (await far.info()).key is None
        assert (await fetch(base, "/checkpoint")).body.decode() == await log.checkpoint()
        assert "checkpoint" not in (await fetch(base, "/v1/events?limit=1")).json


class _NoProofs(OpenAccess):
    def authorise(self, principal: Principal, ask: Ask) -> None:
        if ask.verb == "prove":
            raise Forbidden("no proofs")


async def test_proofs_need_the_verb_prove() -> None:
    async with served(_NoProofs()) as (log, url, base):
        chosen = (await log.list(limit=1)).events[0].id
        async with audit.client.connect(url) as far:
            for asked in (
                far.checkpoint(),
                far.inclusion(chosen),
                far.consistency(0, 1),
                far.selection([0], 1),
            ):
                with pytest.raises(Forbidden):
                    await asked
        for path in ("/checkpoint", "/tile/0/000", "/tile/entries/000", "/v1/log/checkpoint"):
            answer = await fetch(base, path)
            assert (answer.status, json.loads(answer.body)["code"]) == (403, "forbidden")

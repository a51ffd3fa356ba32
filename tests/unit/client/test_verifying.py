"""A client that believes nothing: honest logs pass, and each lie of a server is found out and named."""

from collections.abc import Sequence

import pytest

from audit import NewEvent
from audit.client.verifying import Verification, VerifyOptions
from audit.codec.events import erase_event
from audit.log.deciding import number_events
from audit.log.prepare import prepare_call
from audit.model import errors
from audit.model.errors import InvalidParameter, ProofInvalid
from audit.proof.answers import Consistency
from audit.proof.checkpoints import Checkpoint, sign_checkpoint
from audit.proof.keys import COSIGNATURE, SigningKey
from audit.proof.leaves import leaf_hashes
from audit.proof.proving import prove_consistency, read_root
from audit.proof.rotation import sign_rotation
from audit.proof.selections import prove_selection
from audit.testing.clock import START_MS
from tests.unit.proof import trees

ORIGIN = "example.com/log"
KEY = SigningKey.new(ORIGIN, bytes(range(32)))
OPTIONS = VerifyOptions.parse(KEY.verifier.text)


def stored(count: int, word: str = "x") -> list[bytes]:
    events = [NewEvent(topics=[("a",)], action=word, data=number) for number in range(count)]
    return number_events(prepare_call(events).events, 0, -1, START_MS, lambda bits: (1 << bits) - 1).events


class Server:
    """Answers for a log of these events, with what is true of them."""

    def __init__(self, events: Sequence[bytes], key: SigningKey = KEY, origin: str = ORIGIN) -> None:
        self.events = list(events)
        self.key, self.origin = key, origin
        self.asked = 0

    @property
    def _tree(self) -> trees.Stored:
        self.asked += 1
        return trees.Stored(len(self.events), known=leaf_hashes(self.events))

    async def checkpoint(self) -> str:
        size = len(self.events)
        return sign_checkpoint(Checkpoint(self.origin, size, read_root(size, self._tree.read)), self.key)

    async def consistency(self, from_: int, to: int) -> Consistency:
        return Consistency(prove_consistency(from_, self._bounded(to), self._tree.read), await self.checkpoint())

    async def selection(self, indexes: Sequence[int], size: int) -> list[bytes]:
        return prove_selection(indexes, self._bounded(size), self._tree.read)

    def _bounded(self, size: int) -> int:
        if size > len(self.events):
            raise InvalidParameter("size", f"must be at most {len(self.events)}")
        return size


async def test_what_an_honest_log_sends_passes_in_either_order_and_erased() -> None:
    events = stored(300)
    server = Server(events[:200])
    client = Verification(OPTIONS, server)
    await client.check(events[10:20], all_of_it=True)
    await client.check(events[199:100:-1], all_of_it=True)
    assert server.asked == 3  # one checkpoint serves both
    server.events = list(events)
    await client.check([events[3], erase_event(events[7]), events[250]])
    await client.check([])
    assert client.note == await server.checkpoint()
    # Another client takes over from there.
    again = Verification(VerifyOptions.parse(KEY.verifier.text, client.note), server)
    await again.check(events[:5])
    assert await again.renew() == client.note


async def test_a_changed_event_is_named() -> None:
    events = stored(100)
    client = Verification(OPTIONS, Server(events))
    page = events[40:60]
    page[7] = page[7].replace(b'"x"', b'"y"')
    named = rf"^event 47 \({page[7][7:33].decode()}\): is not the one that the checkpoint of size 100 covers"
    with pytest.raises(errors.HashMismatch, match=named):
        await client.check(page)


async def test_a_missing_or_repeated_event_is_named() -> None:
    events = stored(100)
    client = Verification(OPTIONS, Server(events))
    await client.check([*events[3:7], events[8]])  # of a topic, say
    with pytest.raises(errors.TamperDetected, match=r"^event 7: is missing between events 6 and 8"):
        await client.check([*events[3:7], events[8]], all_of_it=True)
    with pytest.raises(errors.ProofMalformed, match=r"^event 3: was sent twice"):
        await client.check([events[3], events[3]])
    await client.check(events[9:12], all_of_it=True, after=8)
    with pytest.raises(errors.TamperDetected, match=r"^event 8: is missing between events 7 and 9"):
        await client.check(events[9:12], all_of_it=True, after=7)
    with pytest.raises(errors.ProofMalformed, match=r"^event 9: was sent twice"):
        await client.check(events[9:12], after=9)
    with pytest.raises(errors.ProofMalformed, match=r"^event: does not say its index"):
        await client.check([b"{}"])


async def test_history_rewritten_with_the_same_key_is_found_out() -> None:
    server = Server(stored(100))
    client = Verification(OPTIONS, server)
    await client.renew()
    server.events = stored(101, "other")
    for refused in (client.renew(), client.check([server.events[100]])):
        with pytest.raises(errors.HistoryForked, match="does not go on from the trusted one of size 100"):
            await refused
    with pytest.raises(errors.HashMismatch, match="event 5 "):
        await client.check([server.events[5]])
    server.events = server.events[:100]
    with pytest.raises(errors.HistoryForked, match="has another root than the trusted one of this size"):
        await client.renew()


async def test_events_cut_off_are_found_out() -> None:
    events = stored(100)
    server = Server(events)
    client = Verification(OPTIONS, server)
    trusted = await client.renew()
    server.events = events[:90]
    with pytest.raises(errors.CheckpointBehind, match="covers 90 events; 100 were there before"):
        await client.renew()
    with pytest.raises(errors.CheckpointAhead, match="the log has no such history"):
        await client.check(events[:5])
    server.events = events[:90] + stored(120, "other")[90:]  # and grown again
    with pytest.raises(errors.HistoryForked):
        await client.renew()
    assert client.note == trusted


async def test_another_key_or_origin_and_no_signature_are_refused() -> None:
    events = stored(10)
    other = SigningKey.new(ORIGIN, bytes(32))
    for server, kind in (
        (Server(events, other), errors.WrongKey),
        (Server(events, origin="example.com/b"), errors.WrongOrigin),
    ):
        with pytest.raises(kind):
            await Verification(OPTIONS, server).check(events)
    with pytest.raises(errors.WrongKey):
        Verification(VerifyOptions.parse(KEY.verifier.text, await Server(events, other).checkpoint()), Server(events))


async def test_a_key_that_took_the_place_of_the_trusted_one_is_trusted() -> None:
    events = stored(10)
    new = SigningKey.new(ORIGIN, bytes(32))
    options = VerifyOptions.parse(KEY.verifier.text, None, [sign_rotation(ORIGIN, KEY, new)])
    server = Server(events)
    client = Verification(options, server)
    await client.renew()
    server.key = new
    await client.check(events)
    await client.renew()


async def test_a_checkpoint_that_does_not_reach_the_event_is_refused() -> None:
    events = stored(10)
    with pytest.raises(ProofInvalid, match=r"event 9: is beyond the newest checkpoint, of size 5"):
        await Verification(OPTIONS, Server(events[:5])).check(events)


@pytest.mark.parametrize("key", [None, True, "", "x", SigningKey.new("w", bytes(32), COSIGNATURE).verifier.text])
def test_what_is_no_logs_key_is_refused(key: object) -> None:
    with pytest.raises(InvalidParameter, match=r"^key: must "):
        VerifyOptions.parse(key)

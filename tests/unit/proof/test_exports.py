"""Exports: written and read back, every byte flipped, lines left out, added and swapped."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import NewEvent
from audit.codec.events import erase_event
from audit.log.deciding import number_events
from audit.log.prepare import prepare_call
from audit.model.errors import HashMismatch, ProofInvalid, ProofMalformed, SignatureInvalid, WrongKey
from audit.proof.checkpoints import Checkpoint, sign_checkpoint
from audit.proof.exports import ExportCheck, encode_end, encode_head, encode_run, verify_export
from audit.proof.keys import SigningKey
from audit.proof.leaves import leaf_hashes
from audit.proof.selections import prove_selection
from audit.testing.clock import START_MS
from tests.unit.proof import trees

ORIGIN = "example.com/log"
KEY = SigningKey.new(ORIGIN, bytes(range(32)))


def _events(count: int) -> list[bytes]:
    events = [NewEvent(topics=[("a",)], action="x", data=number) for number in range(count)]
    return number_events(prepare_call(events).events, 0, -1, START_MS, lambda bits: (1 << bits) - 1).events


EVENTS = _events(40)
STORED = trees.Stored(40, known=leaf_hashes(EVENTS))
NOTE = sign_checkpoint(Checkpoint(ORIGIN, 40, STORED.frontier.root()), KEY)


def export(*runs: Sequence[int], events: Sequence[bytes] = EVENTS) -> bytes:
    lines = [encode_run([events[index] for index in run], prove_selection(run, 40, STORED.read)) for run in runs]
    return b"".join([encode_head(NOTE), *lines, encode_end(sum(map(len, runs)))])


def checked(raw: bytes) -> ExportCheck:
    return verify_export(raw.splitlines(keepends=True), [KEY.verifier], ORIGIN)


@given(
    st.lists(st.sets(st.integers(0, 39)), max_size=4).map(lambda sets: sorted(set().union(*sets))), st.integers(1, 9)
)
def test_an_export_of_any_events_is_found_to_hold_them(indexes: list[int], run: int) -> None:
    found = checked(export(*(indexes[at : at + run] for at in range(0, len(indexes), run))))
    ends = (indexes[0], indexes[-1]) if indexes else (-1, -1)
    assert (found.events, found.first, found.last) == (len(indexes), *ends)
    assert found.checkpoint.size == 40
    assert not indexes or found.dense == (indexes == list(range(indexes[0], indexes[-1] + 1)))


def test_events_are_lines_as_they_are_stored_and_erased_ones_are_counted() -> None:
    events = [erase_event(event) if index % 2 else event for index, event in enumerate(EVENTS)]
    raw = export(range(20), range(20, 40), events=events)
    assert [line for line in raw.splitlines() if line.startswith(b'{"id"')] == events
    assert checked(raw)[2:] == (40, 0, 39, 20)


def test_an_export_with_any_bit_flipped_or_cut_is_refused() -> None:
    raw = export([3, 4], [7])
    reasons = set()
    for at in range(len(raw)):
        for bit in range(8):
            with pytest.raises(ProofInvalid) as caught:
                checked(raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :])
            reasons.add(type(caught.value))
        with pytest.raises(ProofInvalid):
            checked(raw[:at])
    assert reasons == {HashMismatch, ProofMalformed, SignatureInvalid, WrongKey}


def test_lines_left_out_added_or_swapped_are_refused() -> None:
    lines = export([3, 4], [7, 9]).splitlines(keepends=True)
    for at in range(len(lines)):
        for changed in (
            lines[:at] + lines[at + 1 :],
            [*lines[: at + 1], *lines[at:]],
            [*lines[:at], b"\n", *lines[at:]],
            [*lines[:at], b'{"x":1}\n', *lines[at:]],
            [*lines[:at], *lines[at : at + 2][::-1], *lines[at + 2 :]],
        ):
            if changed != lines:
                with pytest.raises(ProofInvalid):
                    checked(b"".join(changed))
    # Two runs whole, in the wrong order.
    with pytest.raises(ProofMalformed, match="event 3 stands after event 9"):
        checked(b"".join([lines[0], *lines[4:7], *lines[1:4], lines[7]]))


@pytest.mark.parametrize(
    ("line", "other"),
    [(b'{"end":{', b'{"end": {'), (b'"events":2}}\n', b'"events":2}} \n'), (b'"checkpoint":', b'"checkpo\\u0069nt":')],
)
def test_a_line_in_another_spelling_is_refused(line: bytes, other: bytes) -> None:
    raw = export([3, 4])
    assert raw.count(line) >= 1
    with pytest.raises(ProofMalformed, match=r"^line \d: is not spelled as an export spells it"):
        checked(raw.replace(line, other))


def test_the_error_names_the_events_between_which_it_is() -> None:
    events = [*EVENTS[:4], EVENTS[4].replace(b'"x"', b'"y"'), *EVENTS[5:]]
    with pytest.raises(HashMismatch, match=r"^one of 3 events, 3 to 7: is not the one"):
        checked(export([3, 4, 7], events=events))
    with pytest.raises(HashMismatch, match=r"^event 4: is not the one"):
        checked(export([4], events=events))


def test_a_run_over_the_bound_and_a_line_without_end_are_refused() -> None:
    lines = [encode_head(NOTE), *[EVENTS[0] + b"\n"] * 1001]
    with pytest.raises(ProofMalformed, match="line 1002: is event 1001 without a proof"):
        verify_export(lines, [KEY.verifier], ORIGIN)
    with pytest.raises(ProofMalformed, match="line 1: has no end"):
        verify_export([b"x" * 8_000_001 + b"\n"], [KEY.verifier], ORIGIN)
    with pytest.raises(ProofMalformed, match="version 2"):
        checked(encode_head(NOTE).replace(b'"export":1', b'"export":2'))
    with pytest.raises(ProofMalformed, match="line 1: is no line of an export"):
        checked(b"")

"""Signed notes, checkpoints, cosignatures, proof files: the examples of the C2SP documents, and every bit flipped."""

import base64
from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import NewEvent
from audit.codec.events import erase_event
from audit.log.deciding import number_events
from audit.log.prepare import prepare_call
from audit.model import errors
from audit.model.errors import ProofInvalid, ProofMalformed, SignatureInvalid, WrongKey, WrongOrigin
from audit.proof.checkpoints import (
    Checkpoint,
    cosign,
    cosignatures,
    open_checkpoint,
    parse_body,
    read_checkpoint,
    require_witnesses,
    sign_checkpoint,
    verify_newer,
    verify_tree,
)
from audit.proof.files import EventProof, encode_proof, parse_proof
from audit.proof.keys import COSIGNATURE, SigningKey, VerifierKey, encode_base64
from audit.proof.leaves import leaf_hashes
from audit.proof.notes import parse_note, sign_note
from audit.testing.clock import START_MS
from tests.unit.proof import trees

ORIGIN = "example.com/log"
KEY = SigningKey.new(ORIGIN, bytes(range(32)))
OTHER = SigningKey.new("example.com/other", bytes(range(1, 33)))
SAME_NAME = SigningKey.new(ORIGIN, bytes(range(2, 34)))
WITNESS = SigningKey.new("witness.example/w1", bytes(range(3, 35)), COSIGNATURE)
NOW_S = 1_763_805_600
TREE = trees.leaves(7)
CHECKPOINT = Checkpoint(ORIGIN, 7, trees.root(TREE))
NOTE = sign_checkpoint(CHECKPOINT, KEY)


def opened(note: str) -> Checkpoint:
    return open_checkpoint(note, [KEY.verifier], ORIGIN)


# --- what the documents say ------------------------------------------------------------------------------------------

FOO = VerifierKey.parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
FOO_NOTE = """This is an example message.

\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""
SOFA = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""  # noqa: E501


def test_the_note_of_the_specification_holds_for_its_key() -> None:
    note = parse_note(FOO_NOTE)
    assert note.text == "This is an example message.\n"
    assert note.check([FOO]) == [FOO]
    assert note.encoded == FOO_NOTE
    assert FOO.text == "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"


def test_the_checkpoint_of_the_specification_is_read() -> None:
    note = parse_note(SOFA)
    assert note.encoded == SOFA
    checkpoint = parse_body(note.text)
    assert checkpoint[:2] == ("example.com/behind-the-sofa", 20852163)
    assert encode_base64(checkpoint.root) == "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    assert [one.name for one in note.signatures] == ["example.com/behind-the-sofa", "witness.example.com/w1"]
    assert int.from_bytes(note.signatures[1].signature[:8], "big") == 1679315147  # the time in the document's example


# --- keys ------------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32), st.sampled_from([1, 4]))
def test_keys_round_trip(seed: bytes, algorithm: int) -> None:
    key = SigningKey.new("a.example/ä", seed, algorithm)
    assert SigningKey.parse(key.text) == key
    assert VerifierKey.parse(key.verifier.text) == key.verifier
    assert (
        key.verifier.key_id == sha256(b"a.example/\xc3\xa4\n" + bytes([algorithm]) + key.verifier.public).digest()[:4]
    )
    assert base64.b64encode(seed).decode() not in repr(key)


@pytest.mark.parametrize("name", ["", " ", "a b", "a+b", "a\u00a0b", "a\nb", "a\x7f", "x" * 257])
def test_a_name_that_no_signature_line_could_hold_is_refused(name: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=r"^name: must have 1 to 256 bytes"):
        SigningKey.new(name, bytes(32))


@pytest.mark.parametrize("text", [KEY.verifier.text, KEY.text], ids=["public", "private"])
def test_every_character_of_a_key_counts(text: str) -> None:
    parse: Callable[[str], object] = SigningKey.parse if text is KEY.text else VerifierKey.parse
    for at in range(len(text)):
        with pytest.raises(ProofMalformed) as caught:
            parse(text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :])
        assert text[-44:] not in str(caught.value)
        with pytest.raises(ProofMalformed):
            parse(text[:at])


# --- notes and checkpoints -------------------------------------------------------------------------------------------


def test_a_signed_checkpoint_is_opened_with_its_key() -> None:
    assert opened(NOTE) == CHECKPOINT == read_checkpoint(NOTE)
    assert NOTE.startswith(CHECKPOINT.body + "\n\u2014 example.com/log ")
    assert opened(sign_checkpoint(CHECKPOINT, SAME_NAME, OTHER, KEY)) == CHECKPOINT
    with_lines = CHECKPOINT._replace(extensions=("one", "two"))
    assert opened(sign_checkpoint(with_lines, KEY)) == with_lines


def _flips(text: str) -> list[tuple[int, bytes]]:
    raw = text.encode()
    return [(at, raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]) for at in range(len(raw)) for bit in range(8)]


def _reasons(text: str, check: Callable[[str], object]) -> set[type[ProofInvalid]]:
    """Flip each bit in turn; all must be refused. Return with which errors."""
    found = set()
    for _at, changed in _flips(text):
        try:
            flipped = changed.decode()
        except UnicodeDecodeError:
            continue  # whoever reads the file says so: it is no text
        with pytest.raises(ProofInvalid) as caught:
            check(flipped)
        found.add(type(caught.value))
    for end in range(len(text)):
        with pytest.raises(ProofInvalid):
            check(text[:end])
    return found


def test_a_checkpoint_with_any_bit_flipped_is_refused() -> None:
    assert _reasons(NOTE, opened) == {ProofMalformed, SignatureInvalid, WrongKey}


def test_a_checkpoint_by_another_key_is_refused_by_name() -> None:
    for key in (OTHER, SAME_NAME):
        with pytest.raises(WrongKey, match=rf"is by {key.name}\+{key.verifier.key_id.hex()}; trusted is {ORIGIN}\+"):
            opened(sign_checkpoint(CHECKPOINT, key))
    with pytest.raises(WrongKey, match="trusted is no log's key"):
        open_checkpoint(NOTE, [WITNESS.verifier], ORIGIN)


def test_an_unsigned_checkpoint_is_refused_and_can_be_read() -> None:
    assert sign_checkpoint(CHECKPOINT) == CHECKPOINT.body
    assert read_checkpoint(CHECKPOINT.body) == CHECKPOINT
    with pytest.raises(WrongKey, match="is not signed"):
        opened(CHECKPOINT.body)


def test_a_signature_of_another_text_is_refused() -> None:
    other = sign_checkpoint(CHECKPOINT._replace(size=8), KEY)
    forged = CHECKPOINT.body + other[other.index("\n\n") + 1 :]
    with pytest.raises(SignatureInvalid, match=f"is not one by {ORIGIN} of this text"):
        opened(forged)
    # One that holds does not make up for one that does not.
    with pytest.raises(SignatureInvalid):
        opened(NOTE + other[other.index("\n\n") + 2 :])


def test_another_logs_checkpoint_is_refused() -> None:
    with pytest.raises(WrongOrigin, match=r"is of the log 'example.com/b', not of 'example.com/log'"):
        opened(sign_checkpoint(CHECKPOINT._replace(origin="example.com/b"), KEY))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "a\n1\n",
        "a\n1\nAAAA\n",
        f"a\n01\n{encode_base64(bytes(32))}\n",
        f"a\n-1\n{encode_base64(bytes(32))}\n",
        f"a\n{2**63}\n{encode_base64(bytes(32))}\n",
        f"a\n\u0661\n{encode_base64(bytes(32))}\n",
        f"\n1\n{encode_base64(bytes(32))}\n",
        f"a\n1\n{encode_base64(bytes(32))}",
        f"a\n1\n{encode_base64(bytes(32))}\n\nx\n",
        f"a\n1\n{encode_base64(bytes(33))}\n",
        f"a\n0\n{encode_base64(bytes(32))}\n",
    ],
)
def test_what_is_no_checkpoint_is_refused_though_it_be_signed(body: str) -> None:
    with pytest.raises(ProofMalformed, match=r"^checkpoint"):
        parse_body(body)
    if body:
        with pytest.raises(ProofInvalid):
            opened(sign_note(body, KEY))


def test_a_note_over_its_bounds_is_refused() -> None:
    line = NOTE[NOTE.index("\n\n") + 2 :]
    assert opened(NOTE + line * 99) == CHECKPOINT
    with pytest.raises(ProofMalformed, match="at most 100 signatures, has 101"):
        opened(NOTE + line * 100)
    with pytest.raises(ProofMalformed, match="at most 1000000 bytes"):
        parse_note("x" * 1_000_001)
    for text in (
        "\ud800\n\n" + line,
        "\t" + NOTE,
        NOTE[:-1],
        NOTE + "\n",
        NOTE.replace("\u2014", "-"),
        "a\n\n\u2014 b \n",
    ):
        with pytest.raises(ProofMalformed):
            parse_note(text)


@given(st.text(), st.text())
def test_no_text_makes_the_parsers_fail_otherwise(text: str, more: str) -> None:
    for one in (
        text,
        f"{text}\n\n\u2014 {more}\n",
        f"{CHECKPOINT.body}\n\u2014 {more} {text}\n",
        f"{text}\n1\n{more}\n",
    ):
        for parse in (parse_note, read_checkpoint, parse_proof, VerifierKey.parse, SigningKey.parse, opened):
            try:
                parse(one)
            except ProofInvalid:
                continue


# --- one checkpoint after another ------------------------------------------------------------------------------------


def test_a_newer_checkpoint_goes_on_from_the_trusted_one() -> None:
    trusted = Checkpoint(ORIGIN, 3, trees.root(TREE[:3]))
    proof = trees.consistency(3, TREE)
    verify_newer(trusted, CHECKPOINT, proof)
    verify_newer(CHECKPOINT, CHECKPOINT, [])
    with pytest.raises(errors.CheckpointBehind, match="covers 3 events; 7 were there before"):
        verify_newer(CHECKPOINT, trusted, proof)
    with pytest.raises(errors.HistoryForked, match="has another root than the trusted one of this size"):
        verify_newer(CHECKPOINT, CHECKPOINT._replace(root=bytes(32)), [])
    with pytest.raises(errors.HistoryForked, match=r"size 7: does not go on from the trusted one of size 3"):
        verify_newer(trusted, CHECKPOINT._replace(root=bytes(32)), proof)
    with pytest.raises(WrongOrigin):
        verify_newer(trusted, CHECKPOINT._replace(origin="b"), proof)


def test_a_tree_is_held_against_a_checkpoint() -> None:
    verify_tree(CHECKPOINT, 9, CHECKPOINT.root, "the store")
    with pytest.raises(errors.CheckpointAhead, match="the store ends after 6: the newest events were cut off"):
        verify_tree(CHECKPOINT, 6, CHECKPOINT.root, "the store")
    with pytest.raises(errors.HashMismatch, match="the store has another root"):
        verify_tree(CHECKPOINT, 7, bytes(32), "the store")


# --- witnesses -------------------------------------------------------------------------------------------------------


def test_a_witness_cosigns() -> None:
    note = cosign(NOTE, WITNESS, NOW_S)
    assert opened(note) == CHECKPOINT  # the log's own signature still counts, the witness' is ignored
    (found,) = cosignatures(note, [WITNESS.verifier, KEY.verifier], NOW_S)
    assert found == (WITNESS.verifier, NOW_S)
    assert require_witnesses(note, [WITNESS.verifier], NOW_S) == [found]
    line = parse_note(note).signatures[-1]
    message = f"cosignature/v1\ntime {NOW_S}\n{CHECKPOINT.body}".encode()
    assert WITNESS.verifier.signed(message, line.signature[8:])
    # A later one takes the place of the earlier one.
    later = cosign(note, WITNESS, NOW_S + 60)
    assert len(parse_note(later).signatures) == 2
    assert [one.time_s for one in cosignatures(later, [WITNESS.verifier], NOW_S + 60)] == [NOW_S + 60]


def test_a_cosigned_checkpoint_with_any_bit_flipped_is_refused() -> None:
    note = cosign(NOTE, WITNESS, NOW_S)

    def check(text: str) -> None:
        opened(text)
        require_witnesses(text, [WITNESS.verifier], NOW_S)

    assert _reasons(note, check) == {ProofMalformed, SignatureInvalid, WrongKey}


def test_a_missing_witness_and_one_from_the_future_are_refused() -> None:
    with pytest.raises(WrongKey, match=r"there is none by the witness witness.example/w1\+"):
        require_witnesses(NOTE, [WITNESS.verifier], NOW_S)
    note = cosign(NOTE, WITNESS, NOW_S)
    assert cosignatures(note, [WITNESS.verifier], NOW_S - 300)
    with pytest.raises(errors.CheckpointAhead, match="dates it 301 s ahead of this clock"):
        cosignatures(note, [WITNESS.verifier], NOW_S - 301)


# --- proof files -----------------------------------------------------------------------------------------------------


def _events() -> list[bytes]:
    events = [NewEvent(topics=[("a", str(number))], data={"n": number}) for number in range(7)]
    return number_events(prepare_call(events).events, 0, -1, START_MS, lambda bits: (1 << bits) - 1).events


EVENTS = _events()
LEAVES = leaf_hashes(EVENTS)


def proof_of(index: int, event: bytes | None = None, leaves: list[bytes] | None = None) -> str:
    known = LEAVES if leaves is None else leaves
    note = sign_checkpoint(Checkpoint(ORIGIN, len(known), trees.root(known)), KEY)
    stored = EVENTS[index] if event is None else event
    return encode_proof(EventProof(stored, index, trees.inclusion(index, known), note))


def verified(text: str) -> Checkpoint:
    return parse_proof(text).verify([KEY.verifier], ORIGIN)


@pytest.mark.parametrize("index", range(7))
def test_a_proof_file_proves_its_event_erased_or_not(index: int) -> None:
    text = proof_of(index)
    assert text.startswith("c2sp.org/tlog-proof@v1\nextra ")
    assert verified(text).size == 7
    assert parse_proof(text).event == EVENTS[index]
    assert encode_proof(parse_proof(text)) == text
    assert verified(proof_of(index, erase_event(EVENTS[index]))).size == 7


@pytest.mark.parametrize("form", [lambda event: event, erase_event], ids=["stored", "erased"])
def test_a_proof_file_with_any_bit_flipped_is_refused(form: Callable[[bytes], bytes]) -> None:
    reasons = _reasons(proof_of(3, form(EVENTS[3])), verified)
    assert reasons == {ProofMalformed, SignatureInvalid, WrongKey, errors.HashMismatch}


def test_a_proof_of_another_event_or_place_is_refused() -> None:
    with pytest.raises(errors.HashMismatch, match="event 3: is not the one that the checkpoint of size 7 covers"):
        verified(proof_of(3, EVENTS[2]))
    # A log that committed an event at another place than the event says.
    swapped = [LEAVES[1], LEAVES[0], *LEAVES[2:]]
    with pytest.raises(errors.HashMismatch, match="event 0: does not say that this is its place"):
        verified(proof_of(0, EVENTS[1], swapped))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must start with the line"),
        ("c2sp.org/tlog-proof@v2\n\n", "must start with the line"),
        ("c2sp.org/tlog-proof@v1\nindex 1\n\n", "must have an event"),
        ("c2sp.org/tlog-proof@v1\nextra AAAA\n\n", "must have `index`"),
        ("c2sp.org/tlog-proof@v1\nextra AAAA\nindex 01\n\n", "must have `index`"),
        ("c2sp.org/tlog-proof@v1\nextra AAAA\nindex 1\n" + "AAAA\n" * 64 + "\n", "at most 63 hashes, has 64"),
        ("c2sp.org/tlog-proof@v1\nextra AAA\nindex 1\n\n", "is not base64"),
        ("x" * 2_000_001, "must have at most 2000000 bytes"),
    ],
)
def test_what_is_no_proof_file_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ProofMalformed, match=problem):
        parse_proof(text)

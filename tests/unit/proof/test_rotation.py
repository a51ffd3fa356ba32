"""Keys that hand over to others: who is trusted afterwards, and who is not."""

import pytest

from audit.model import errors
from audit.model.errors import ProofInvalid, ProofMalformed, SignatureInvalid, WrongKey, WrongOrigin
from audit.proof.keys import COSIGNATURE, SigningKey
from audit.proof.notes import parse_note, sign_note
from audit.proof.rotation import ROTATION_HEAD, follow_rotations, sign_rotation

ORIGIN = "example.com/log"
FIRST, SECOND, THIRD = (SigningKey.new(ORIGIN, bytes([number] * 32)) for number in (1, 2, 3))
ONE, TWO = sign_rotation(ORIGIN, FIRST, SECOND), sign_rotation(ORIGIN, SECOND, THIRD)


def test_the_keys_of_a_chain_are_trusted_the_newest_last() -> None:
    assert follow_rotations(FIRST.verifier, [], ORIGIN) == [FIRST.verifier]
    assert follow_rotations(FIRST.verifier, [ONE, TWO], ORIGIN) == [FIRST.verifier, SECOND.verifier, THIRD.verifier]
    assert follow_rotations(SECOND.verifier, [TWO], ORIGIN) == [SECOND.verifier, THIRD.verifier]


def test_a_chain_with_a_link_missing_or_of_another_key_or_log_is_refused() -> None:
    with pytest.raises(WrongKey):
        follow_rotations(FIRST.verifier, [TWO], ORIGIN)
    with pytest.raises(WrongKey):
        follow_rotations(SECOND.verifier, [ONE], ORIGIN)
    with pytest.raises(WrongOrigin, match=r"is of the log 'example.com/log', not of 'b'"):
        follow_rotations(FIRST.verifier, [ONE], "b")


def test_both_keys_must_have_signed_and_be_the_ones_named() -> None:
    text = parse_note(ONE).text
    for one in (FIRST, SECOND):
        with pytest.raises(WrongKey):
            follow_rotations(FIRST.verifier, [sign_note(text, one)], ORIGIN)
    swapped = sign_note(f"{ROTATION_HEAD}\n{ORIGIN}\n{THIRD.verifier.text}\n{SECOND.verifier.text}\n", FIRST, SECOND)
    with pytest.raises(WrongKey, match=r"is from the key example.com/log\+"):
        follow_rotations(FIRST.verifier, [swapped], ORIGIN)
    witness = SigningKey.new(ORIGIN, bytes([4] * 32), COSIGNATURE)
    with pytest.raises(ProofMalformed, match="must name a log's key"):
        follow_rotations(FIRST.verifier, [sign_rotation(ORIGIN, FIRST, witness)], ORIGIN)


def test_a_statement_with_any_bit_flipped_is_refused() -> None:
    raw = ONE.encode()
    kinds = set()
    for at in range(len(raw)):
        for bit in range(8):
            try:
                text = (raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]).decode()
            except UnicodeDecodeError:
                continue
            with pytest.raises(ProofInvalid) as caught:
                follow_rotations(FIRST.verifier, [text], ORIGIN)
            kinds.add(type(caught.value))
    assert kinds == {ProofMalformed, SignatureInvalid, WrongKey, errors.WrongOrigin}


def test_a_checkpoint_is_no_rotation() -> None:
    with pytest.raises(ProofMalformed, match="must have 4 lines"):
        follow_rotations(FIRST.verifier, [sign_note(f"{ORIGIN}\n1\nx\n", FIRST)], ORIGIN)

"""Errors cross the wire with class, message and parameter; nothing else of them does."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.model import errors
from audit.model.errors import AuditError, Conflict, InvalidParameter, StoreClosed, StoreCorrupt
from audit.protocol.errors import WIRE_CODES, WireCode, from_wire, to_wire
from audit.protocol.frames import decode_contents, encode
from audit.protocol.messages import WireError, WireErrorData

_ALL: Final = [getattr(errors, name) for name in errors.__all__]
_PLAIN: Final = [
    entry
    for entry in WIRE_CODES
    if not issubclass(entry.kind, (InvalidParameter, Conflict)) and entry.code != "internal"
]
_NAMED: Final = [entry for entry in WIRE_CODES if issubclass(entry.kind, (InvalidParameter, Conflict))]
_texts: Final = st.text(max_size=60)


def _crossed(error: Exception) -> AuditError:
    told: WireError = decode_contents(encode(to_wire(error)), WireError)
    return from_wire(told)


def _id(entry: WireCode) -> str:
    return entry.code


@pytest.mark.parametrize("entry", _NAMED, ids=_id)
@given(parameter=_texts, problem=_texts)
def test_an_error_of_a_parameter_comes_back_as_it_was(entry: WireCode, parameter: str, problem: str) -> None:
    kind: Any = entry.kind
    error = _crossed(kind(parameter, problem))
    assert isinstance(error, (InvalidParameter, Conflict))
    assert type(error) is kind
    assert (error.parameter, error.problem) == (parameter, problem)
    assert str(error) == f"{parameter}: {problem}"


@pytest.mark.parametrize("entry", _PLAIN, ids=_id)
@given(message=_texts)
def test_an_error_comes_back_as_it_was(entry: WireCode, message: str) -> None:
    told = to_wire(entry.kind(message))
    assert told.data.retryable is entry.kind.retryable
    error = from_wire(decode_contents(encode(told), WireError))
    assert type(error) is entry.kind
    assert str(error) == message


def test_codes_and_numbers_are_unambiguous_and_in_their_ranges() -> None:
    assert len({entry.code for entry in WIRE_CODES}) == len({entry.number for entry in WIRE_CODES}) == len(WIRE_CODES)
    for entry in WIRE_CODES:
        assert -32768 <= entry.number <= -32000
        # No error of ours says that JSON could not be parsed: only a frame does.
        assert entry.kind.code == ("invalid_request" if entry.code == "parse_error" else entry.code)


# What a proof does not show is found by who checks it, and told to nobody.
_LOCAL: Final = (errors.StoreError, errors.ProofInvalid)


@pytest.mark.parametrize("kind", [kind for kind in _ALL if not issubclass(kind, _LOCAL)])
def test_every_error_that_is_not_about_the_whole_store_has_a_code_on_the_wire(kind: type[AuditError]) -> None:
    assert kind.code in {entry.code for entry in WIRE_CODES}


@pytest.mark.parametrize("kind", [kind for kind in _ALL if issubclass(kind, errors.StoreError)])
def test_what_is_wrong_with_the_store_is_not_told(kind: type[AuditError]) -> None:
    told = to_wire(kind.__new__(kind, "segment 01JD", "secret"))
    closing = kind is StoreClosed
    assert told.data.code == ("unavailable" if closing else "internal")
    assert told.data.retryable is closing
    assert "secret" not in encode(told).decode()


@pytest.mark.parametrize("error", [RuntimeError("secret"), StoreCorrupt("secret", "secret"), KeyError("secret")])
def test_of_an_error_that_is_not_for_the_client_only_the_fact_is_told(error: Exception) -> None:
    told = to_wire(error)
    assert encode(told) == b'{"code":-32603,"message":"internal error","data":{"code":"internal","retryable":false}}'
    assert type(from_wire(told)) is AuditError


def test_a_disk_full_arrives_as_unavailable() -> None:
    assert type(_crossed(errors.DiskFull("3 MiB are free"))) is errors.Unavailable


def test_an_unknown_code_falls_back_on_its_number_and_then_on_the_base() -> None:
    later = WireError(code=-32006, message="m", data=WireErrorData(code="busier", retryable=True))
    assert type(from_wire(later)) is errors.Overloaded
    unknown = WireError(code=-1, message="m", data=WireErrorData(code="quota", retryable=True))
    assert type(from_wire(unknown)) is AuditError
    assert str(from_wire(unknown)) == "m"


def test_a_parameter_that_is_not_named_is_all_of_them() -> None:
    told = WireError(code=-32602, message="m", data=WireErrorData(code="invalid_params", retryable=False))
    error = from_wire(told)
    assert isinstance(error, InvalidParameter)
    assert (error.parameter, error.problem) == ("params", "m")

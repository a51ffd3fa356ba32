"""The tree of errors: each has a code of its own, survives copying and pickling, and says where the problem is."""

import pickle
from collections.abc import Iterator

import pytest

from audit.model import errors
from audit.model.errors import AuditError, BackupInvalid, Conflict, InvalidParameter, ProofInvalid, StoreCorrupt


def tree(kind: type[AuditError]) -> Iterator[type[AuditError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from tree(below)


KINDS = list(tree(AuditError))


def test_every_error_is_exported_and_listed_in_the_tree() -> None:
    assert {kind.__name__ for kind in KINDS} == set(errors.__all__)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in KINDS)


def test_every_error_has_a_code_of_its_own() -> None:
    # DiskFull is an Unavailable with a reason; whoever retries need not tell them apart.
    codes = [kind.code for kind in KINDS if kind is not errors.DiskFull]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling(kind: type[AuditError]) -> None:
    two = issubclass(kind, (InvalidParameter, Conflict, ProofInvalid, StoreCorrupt))
    fields = ("file", "place", "problem") if kind is BackupInvalid else ("place", "problem") if two else ("problem",)
    error = kind(*fields)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own
    assert type(again) is kind
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_an_error_can_be_placed_under_a_longer_path() -> None:
    error = errors.TooLarge("topics[0]", "is too large").under("events[3]")
    assert type(error) is errors.TooLarge
    assert error.parameter == "events[3].topics[0]"
    assert InvalidParameter("", "is wrong").under("events[3]").parameter == "events[3]"

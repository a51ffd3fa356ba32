"""docs/errors.md says of each error what its class says."""

import inspect
import re
from typing import Final

import audit
from audit.cli.failures import exit_code
from audit.model import errors
from tests.docs.documents import ROOT, blocks

_PAGE: Final = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
_ROW: Final = re.compile(r"^\| `(\w+)` \| `(\w+)` \| (yes|no) \| (\d) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def _classes() -> dict[str, type[errors.AuditError]]:
    found = {
        name: kind
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.AuditError)
    }
    assert set(found) == set(errors.__all__)
    return found


def test_table_has_each_error_once_with_its_code_and_retryability() -> None:
    rows = [(name, code, retryable) for name, code, retryable, *_ in _ROW.findall(_PAGE)]
    expected = {name: (name, kind.code, "yes" if kind.retryable else "no") for name, kind in _classes().items()}
    # The bases are never raised themselves.
    for base in ("AuditError", "ProofInvalid", "StoreError", "TamperDetected"):
        del expected[base]
    assert len(rows) == len({name for name, *_ in rows})
    assert {name: row for row in rows for name in [row[0]]} == expected


def test_table_has_the_exit_code_of_the_command_line() -> None:
    for name, _, _, code, *_ in _ROW.findall(_PAGE):
        kind = _classes()[name]
        error = kind.__new__(kind)
        assert exit_code(error) == int(code), name


def test_tree_is_that_of_the_classes() -> None:
    tree = next(block.text for block in blocks("text") if block.path.name == "errors.md")
    assert inspect.cleandoc(tree) in inspect.cleandoc(errors.__doc__ or "").replace("\n    ", "\n")
    parents: list[str] = []
    shown = {}
    for line in tree.splitlines():
        name = re.search(r"[A-Z]\w+", line)
        assert name is not None, line
        depth = name.start() // 4
        parents[depth:] = [name[0]]
        shown[name[0]] = parents[depth - 1] if depth else None
    bases = {name: kind.__bases__[0].__name__ for name, kind in _classes().items() if kind is not errors.AuditError}
    assert shown == {"AuditError": None, **bases}


def test_every_error_can_be_imported_from_the_package() -> None:
    assert {name for name in errors.__all__ if getattr(audit, name, None) is not getattr(errors, name)} == set()

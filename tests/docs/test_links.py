"""What the documents point at is there: files, headings, make targets."""

import pkgutil
import re
from pathlib import Path
from typing import Final

import pytest

from audit.protocol.methods import METHODS
from tests.docs.documents import ROOT, documents

_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_MODULE: Final = re.compile(r"`((?:cli|app|testing|log|storage|codec|model)\.[a-z_.]+)`")
_MAKE: Final = re.compile(r"`make ([a-z]+)`")


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in _LINK.findall(path.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        found = (path.parent / name).resolve() if name else path
        assert found.exists(), f"{target} is not there"
        assert found.is_relative_to(ROOT), f"{target} lies outside the project"
        if anchor:
            anchors = [_anchor(heading) for heading in _HEADING.findall(found.read_text(encoding="utf-8"))]
            assert anchor in anchors, f"{target}: no such heading"


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_named_exist(path: Path) -> None:
    # `log.checkpoint` is a method of the wire.
    for name in set(_MODULE.findall(path.read_text(encoding="utf-8"))) - set(METHODS):
        try:
            pkgutil.resolve_name(f"audit.{name}")
        except (ImportError, AttributeError):
            pytest.fail(f"there is no {name}")


def test_make_targets_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in documents():
        named = set(_MAKE.findall(path.read_text(encoding="utf-8")))
        assert named <= targets, (path, named - targets)


def test_every_document_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    targets = _LINK.findall(index.read_text(encoding="utf-8"))
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in targets}
    missing = {path for path in documents() if path.is_relative_to(ROOT / "docs")} - linked - {index}
    assert not missing


def _anchor(heading: str) -> str:
    """Return the anchor of a heading, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")

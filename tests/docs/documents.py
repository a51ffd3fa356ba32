"""The project's documents, and the fenced blocks in them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["ROOT", "Block", "blocks", "documents"]

ROOT: Final = Path(__file__).resolve().parents[2]
_FENCED: Final = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """One fenced block, and where its text starts."""

    path: Path
    line: int
    language: str
    info: str
    text: str

    @property
    def name(self) -> str:
        """The block's place, as an editor takes it."""
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def documents() -> list[Path]:
    """Return the documents for people: those at the top, and everything under docs, examples and proto."""
    below = [path for folder in ("docs", "examples", "proto") for path in sorted((ROOT / folder).rglob("*.md"))]
    return [*sorted(ROOT.glob("*.md")), *below]


def blocks(language: str) -> Iterator[Block]:
    """Return the fenced blocks of a language in all documents."""
    for path in documents():
        text = path.read_text(encoding="utf-8")
        for found in _FENCED.finditer(text):
            if found[1] == language:
                line = text.count("\n", 0, found.start(3)) + 1
                yield Block(path, line, found[1], found[2].strip(), found[3])

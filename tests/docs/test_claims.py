"""A page that names tests as what shows its claims names tests that there are, where it says."""

import re
from pathlib import Path

import pytest

from tests.docs.documents import ROOT

TESTS = ROOT / "tests"
_NAMED = re.compile(r"`((?:\w+/)+test_\w+\.py)`|`(test_\w+)`")


@pytest.mark.parametrize("page", ["docs/design/access.md"])
def test_the_tests_that_a_page_names_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8").split("## What is claimed, and what shows it")[1]
    file: Path | None = None
    names = 0
    for path, name in _NAMED.findall(text):
        if path:
            file = TESTS / path
            assert file.is_file(), path
        else:
            assert file is not None
            assert re.search(rf"^(async )?def {name}\(", file.read_text(encoding="utf-8"), re.MULTILINE), (file, name)
            names += 1
    assert names > 40

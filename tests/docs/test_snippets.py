"""Every Python block of the documents runs, and so does every console block of commands.

A block is a program of its own: it runs in a new process, in an empty directory. `python fragment` marks one that is
only compiled. In a console block, lines after a command are what it prints, `…` standing for anything.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from audit import Audit
from tests.docs.documents import Block, blocks

_PYTHON: Final = list(blocks("python"))
_CONSOLE: Final = list(blocks("console"))
_ENV: Final = {
    name: value for name, value in os.environ.items() if not name.startswith(("AUDIT_", "COLUMNS", "PYTHON"))
}
_SEPARATOR: Final = "\x1e"
_COMMAND: Final = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


@pytest.mark.parametrize("block", _PYTHON, ids=lambda block: block.name)
def test_python_block_runs(block: Block, tmp_path: Path) -> None:
    # Blank lines before it: a traceback names the line of the document.
    text = "\n" * (block.line - 1) + block.text
    if block.info == "fragment":
        compile(text, block.name, "exec")
        return
    assert not block.info, f"{block.name}: unknown mark {block.info!r}"
    (tmp_path / "snippet.py").write_text(text, encoding="utf-8")
    _run([sys.executable, "-W", "error", "snippet.py"], tmp_path, block.name)


@pytest.mark.parametrize("block", _CONSOLE, ids=lambda block: block.name)
def test_console_block_runs_and_prints_what_it_shows(block: Block, tmp_path: Path) -> None:
    commands = _COMMAND.findall(block.text)
    assert commands, f"{block.name}: no line starts with '$ '"
    if not any("audit init" in command for command, _ in commands):
        Audit.init(tmp_path / "data")
    script = "\n".join([f"{command}\nprintf '{_SEPARATOR}'" for command, _ in commands])
    printed = _run(["bash", "-euo", "pipefail", "-c", script], tmp_path, block.name).split(_SEPARATOR)
    for (command, shown), found in zip(commands, printed[:-1], strict=True):
        if shown:
            pattern = ".*".join([re.escape(part) for part in shown.split("…")])
            assert re.fullmatch(pattern, found, re.DOTALL), (block.name, command, found)


def _run(arguments: list[str], directory: Path, name: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{_ENV.get('PATH', '')}"
    env = {**_ENV, "PATH": path, "AUDIT_DATA": "data"}
    done = subprocess.run(
        arguments,
        cwd=directory,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{name}\n{done.stdout}\n{done.stderr}"
    return done.stdout

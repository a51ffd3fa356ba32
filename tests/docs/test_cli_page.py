"""docs/cli.md names the commands, options and exit codes that there are."""

import re
from typing import Any, Final

import typer

from audit.cli.failures import ExitCode
from audit.cli.program import build
from tests.docs.documents import ROOT

_PAGE: Final = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def _commands() -> dict[str, Any]:
    program: Any = typer.main.get_command(build())
    return {"": program, **program.commands}


def _options() -> set[str]:
    below = [one for command in _commands().values() for one in getattr(command, "commands", {}).values()]
    return {
        name
        for command in [*_commands().values(), *below]
        for option in command.params
        for name in [*option.opts, *option.secondary_opts]
    }


def test_every_command_is_described_and_no_other() -> None:
    table = _PAGE.split("| command | what it does |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)", table, re.MULTILINE)) == set(_commands()) - {""}


def test_every_option_named_exists() -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", _PAGE))
    assert named - {"--help"} <= _options()


def test_exit_codes_are_those_of_the_program() -> None:
    table = _PAGE.split("| code | means |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    assert {int(code) for row in rows for code in row.split(",")} == set(ExitCode)

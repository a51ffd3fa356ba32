"""The files to deploy with say what the program takes."""

import configparser
import re
import shlex
from typing import Any

import typer

from audit.cli.program import build
from tests.docs.documents import ROOT

DEPLOY = ROOT / "docs" / "deploy"


def _options() -> set[str]:
    program: Any = typer.main.get_command(build())
    return {name for option in program.commands["serve"].params for name in option.opts}


def test_the_unit_starts_the_server_as_an_ordinary_user() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "audit.service", encoding="utf-8")
    program, command, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert program.endswith("/bin/audit")
    assert command == "serve"
    assert {one for one in arguments if one.startswith("--")} <= _options()
    assert unit["Service"]["NoNewPrivileges"] == "yes"
    assert unit["Service"]["ProtectSystem"] == "strict"


def test_the_container_runs_as_an_ordinary_user() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER audit$", text, re.MULTILINE)
    command = re.findall(r'"([^"]+)"', text.rpartition("CMD ")[2])
    assert command[:2] == ["audit", "serve"]
    assert {one for one in command if one.startswith("--")} <= _options()

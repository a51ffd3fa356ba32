import pytest

from audit.cli.failures import ExitCode
from audit.cli.program import run


@pytest.mark.parametrize("command", ["init", "append", "list", "get", "tail", "topics", "ingest", "serve", "fsck"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert f"Usage: audit {command}" in out
    assert "--data" in out
    assert err == ""


def test_help_lists_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    run(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    listed = text.split("Exit codes: ")[1].split("; ")
    assert [int(entry.split(" ")[0]) for entry in listed] == [int(code) for code in ExitCode]

"""`audit key`: the keys that logs and witnesses sign with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audit.app.keyfiles import create_key, load_signing_key
from audit.cli.terminal import write
from audit.model.errors import InvalidParameter
from audit.proof.keys import COSIGNATURE, ED25519

__all__ = ["key"]

key = typer.Typer(help="Make and show the keys that checkpoints are signed with.", no_args_is_help=True)

To = Annotated[Path, typer.Option("--to", metavar="FILE", help="A new file, outside any store; FILE.pub is public.")]


@key.command()
def new(
    name: Annotated[str, typer.Argument(metavar="ORIGIN", help="The log's name for ever, such as example.com/log.")],
    to: To,
    witness: Annotated[bool, typer.Option("--witness", help="A key for `audit witness`, not for a log.")] = False,
) -> None:
    """Make a key, and print its public half: give that to whoever is to check the log."""
    try:
        made = create_key(to, name, COSIGNATURE if witness else ED25519, "--to")
    except InvalidParameter as error:
        raise InvalidParameter("ORIGIN" if error.parameter == "name" else error.parameter, error.problem) from error
    write(f"{made.verifier.text}\n".encode())


@key.command()
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A private key.", show_default=False)],
) -> None:
    """Print the public half of a private key."""
    write(f"{load_signing_key(file, 'FILE').verifier.text}\n".encode())

"""`audit key`: the keys that logs and witnesses sign with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audit.app import Audit
from audit.app.keyfiles import create_key, load_signing_key
from audit.cli.options import CheckpointFile, DataDir, NoUrl, Origin, located
from audit.cli.terminal import write
from audit.log.backupfile import new_file
from audit.log.signing import Signing
from audit.model.errors import InvalidParameter
from audit.proof.keys import COSIGNATURE, ED25519
from audit.proof.rotation import sign_rotation

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


@key.command()
def rotate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The key that signs now.", show_default=False)],
    to: To,
    data: DataDir = None,
    origin: Origin = None,
    checkpoint_file: CheckpointFile = None,
    _url: NoUrl = None,
) -> None:
    """Put a new key in place of one: both sign so, in an event of the log and in the new file with `.rotation`."""
    path = located(data)
    old = load_signing_key(file, "FILE")
    statement_path = to.with_name(f"{to.name}.rotation")
    kept = None if checkpoint_file is None else Path(checkpoint_file)
    # Opened first: a log that is not what the old key signed gets no new one. Its next checkpoint is signed by both.
    with Audit.open_sync(path, signing=Signing(keys=(old,), origin=origin, checkpoint_file=kept)):
        pass
    made = create_key(to, old.name, old.algorithm, "--to")
    statement = sign_rotation(old.name if origin is None else origin, old, made)
    with new_file(statement_path, "--to") as target:
        target.write(statement.encode())
    with Audit.open_sync(path, signing=Signing(keys=(made, old), origin=origin, checkpoint_file=kept)) as log:
        log.record_rotation(statement)
    write(f"{made.verifier.text}\n".encode())

"""`audit verify`: whether a file of a log is what the log signed, found out without the log."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from audit.app.keyfiles import load_verifier_key, read_text
from audit.app.verifying import Trust, verify_files
from audit.cli.terminal import printable, progress, write
from audit.model.errors import InvalidParameter
from audit.proof.keys import COSIGNATURE, ED25519
from audit.proof.rotation import follow_rotations

__all__ = ["verify"]


def verify(  # noqa: PLR0917 - each is an option
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…", help="A proof, an export, a checkpoint; or backups, in their order.", show_default=False
        ),
    ],
    key: Annotated[str, typer.Option("--key", metavar="PUBLIC", help="The log's public key, or the file it is in.")],
    origin: Annotated[
        str | None, typer.Option("--origin", metavar="NAME", help="The log's origin, if not the key's name.")
    ] = None,
    rotation: Annotated[
        list[Path] | None,
        typer.Option("--rotation", metavar="FILE", help="How the key was replaced; repeat, in their order."),
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option("--witness", metavar="PUBLIC", help="A witness that must have cosigned; repeat for more."),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", metavar="FILE", help="What to hold a backup against.")
    ] = None,
) -> None:
    """Say whether a file is what the log signed: 0 if so, 1 and the reason if not. Nothing but the keys is trusted."""
    trusted = load_verifier_key(key, "--key")
    if trusted.algorithm != ED25519:
        raise InvalidParameter("--key", "is a witness' key: give the log's")
    witnesses = [load_verifier_key(one, "--witness") for one in witness or ()]
    if any(one.algorithm != COSIGNATURE for one in witnesses):
        raise InvalidParameter("--witness", "is a log's key: give a witness'")
    name = trusted.name if origin is None else origin
    keys = follow_rotations(trusted, [read_text(path, "--rotation") for path in rotation or ()], name)
    note = None if checkpoint is None else read_text(checkpoint, "--checkpoint")
    trust = Trust(keys, name, witnesses, int(time.time()))
    with progress("verifying", None) as advance:
        found = verify_files(files, trust, note, advance)
    write("".join(f"{printable(line)}\n" for line in ["verified", *found]).encode())

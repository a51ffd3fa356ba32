"""`audit proof` and `audit checkpoint`: what somebody else needs to hold the log to its word."""

from __future__ import annotations

from typing import Annotated

import typer

from audit.cli.options import CheckpointFile, DataDir, Keys, Origin, Url, signing_of
from audit.cli.store import open_log
from audit.cli.terminal import complain, write
from audit.proof.files import EventProof, encode_proof

__all__ = ["checkpoint", "proof"]


def proof(  # noqa: PLR0917 - each is an option
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id.", show_default=False)],
    data: DataDir = None,
    url: Url = None,
    keys: Keys = None,
    origin: Origin = None,
    checkpoint_file: CheckpointFile = None,
) -> None:
    """Print an event with the proof that it is in the log, as a file for `audit verify` (`> ID.tlog-proof`)."""
    with open_log(data, url, signing=signing_of(keys or (), origin, checkpoint_file)) as log:
        event = log.get_raw(event_id)
        found = log.inclusion(event_id)
    write(encode_proof(EventProof(event, found.index, list(found.hashes), found.checkpoint)).encode())
    warn_unsigned(found.checkpoint)


def checkpoint(
    data: DataDir = None,
    url: Url = None,
    keys: Keys = None,
    origin: Origin = None,
    checkpoint_file: CheckpointFile = None,
) -> None:
    """Print the log's checkpoint: its size and the root of its tree, signed. Keep it where the log's operator can't."""
    with open_log(data, url, signing=signing_of(keys or (), origin, checkpoint_file)) as log:
        note = log.checkpoint()
    write(note.encode())
    warn_unsigned(note)


def warn_unsigned(note: str) -> None:
    """Say on stderr when nobody signed a checkpoint."""
    if "\n\n" not in note:
        complain("warning: the log runs without a key: nobody signed for this")

"""`audit witness`: a second machine that holds a log to its word, by keeping its newest checkpoint and cosigning it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from audit.app.keyfiles import load_signing_key, load_verifier_key, read_text
from audit.cli.options import Url
from audit.cli.store import Verify, connect_to
from audit.cli.terminal import complain, flush, printable, write
from audit.log.durable import sync_directory
from audit.model.errors import InvalidParameter, TamperDetected, Unavailable
from audit.proof.checkpoints import cosign, read_checkpoint
from audit.proof.keys import COSIGNATURE

__all__ = ["witness"]


def witness(  # noqa: PLR0917 - each is an option
    state: Annotated[
        Path, typer.Option("--state", metavar="FILE", help="Keeps the newest checkpoint; made if it is not there.")
    ],
    key: Annotated[str, typer.Option("--key", metavar="PUBLIC", help="The log's public key, or the file it is in.")],
    url: Url = None,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="FILE", help="The witness' own private key, to cosign with.")
    ] = None,
    rotation: Annotated[
        list[Path] | None,
        typer.Option("--rotation", metavar="FILE", help="How the log's key was replaced; repeat, in their order."),
    ] = None,
    every_s: Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.1, help="How often to ask.")] = 60.0,
    once: Annotated[bool, typer.Option("--once", help="Ask once, and end.")] = False,
) -> None:
    """Follow a log's checkpoints: each must go on from the one before. Ends with 1 when one does not."""
    if url is None:
        raise InvalidParameter("--url", "say where the log is served, or set AUDIT_URL")
    signer = None if sign is None else load_signing_key(sign, "--sign")
    if signer is not None and signer.algorithm != COSIGNATURE:
        raise InvalidParameter("--sign", f"{sign} is a log's key: make one with `audit key new --witness`")
    rotations = [read_text(path, "--rotation") for path in rotation or ()]
    trusted = read_text(state, "--state") if state.exists() else None
    with connect_to(url, Verify(load_verifier_key(key, "--key").text, rotations, trusted)) as log:
        while True:
            try:
                note = log.trust_newest()
            except TamperDetected:
                # Together with the one that is kept, it is what shows that the log went back on its word.
                refused = state.with_name(f"{state.name}.refused")
                _save(refused, log.checkpoint())
                complain(f"kept as evidence: {refused}")
                raise
            except Unavailable as error:
                if once:
                    raise
                complain(str(error))
            else:
                _save(state, note if signer is None else cosign(note, signer, int(time.time())))
                newest = read_checkpoint(note)
                write(f"{printable(newest.origin)}: {newest.size} events, nothing before was changed\n".encode())
                flush()
            if once:
                return
            time.sleep(every_s)


def _save(path: Path, note: str) -> None:
    """Replace a file as a whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_directory(path.absolute().parent)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise Unavailable(f"can't write {path}: {error.strerror or error}") from error

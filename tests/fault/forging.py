"""An attacker who can write a store's files and knows its format: makes a store with another history, whole in itself.

Everything in it fits: checksums, posting lists, tree, its own checkpoint where the key was stolen too. Nothing inside
can tell it from an honest one, so only what is outside can.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from audit import Audit
from audit.app.restore import restore_store
from audit.codec.backups import BackupHeader, Decoder, Encoder
from audit.codec.commits import Commit
from audit.codec.events import event_id_text
from audit.storage.options import StoreOptions

__all__ = ["ATTACKS", "OPTIONS", "forge"]

OPTIONS = StoreOptions(reserve_bytes=0, min_free_bytes=0)
Rewrite = Callable[[list[bytes]], list[bytes]]


def forge(honest: Path, target: Path, rewrite: Rewrite, scratch: Path) -> None:
    """Make the store at `target`, of the same id, from the events of another one, rewritten."""
    scratch.mkdir(parents=True)
    with Audit.open_sync(honest, options=OPTIONS) as log:
        log.backup(scratch / "honest")
    with (scratch / "honest").open("rb") as file:
        decoder = Decoder(file.read, "honest")
        commits = list(decoder.commits())
        header = decoder.header
    events = rewrite([event for commit in commits for event in commit.events])
    _write(scratch / "forged", header, events)
    restore_store(target, [scratch / "forged"])


def _write(path: Path, header: BackupHeader, events: Sequence[bytes]) -> None:
    forged = BackupHeader(
        format=header.format,
        store_id=header.store_id,
        store_format=header.store_format,
        layout=header.layout,
        created=header.created,
        size=len(events),
        last_id=event_id_text(events[-1]).decode(),
        continues=None,
    )
    made = Encoder(forged)
    starts = range(0, len(events), 100)
    parts = [made.header(), *(made.block(Commit(at, list(events[at : at + 100]), [], [])) for at in starts)]
    path.write_bytes(b"".join([*parts, made.footer()]))


def edit(events: list[bytes]) -> list[bytes]:
    return [event.replace(b'"bob"', b'"eve"') if index == 150 else event for index, event in enumerate(events)]


def swap(events: list[bytes]) -> list[bytes]:
    one, other = events[150], events[151]
    cut = b',"topics":'
    heads, bodies = ([event.split(cut, 1)[part] for event in (one, other)] for part in (0, 1))
    return [*events[:150], heads[0] + cut + bodies[1], heads[1] + cut + bodies[0], *events[152:]]


def cut(events: list[bytes]) -> list[bytes]:
    return events[:-10]


def rewrite_all(events: list[bytes]) -> list[bytes]:
    return [event.replace(b'"bob"', b'"eve"') for event in events]


ATTACKS: dict[str, Rewrite] = {"edit": edit, "swap": swap, "cut": cut, "rewrite": rewrite_all}

"""`audit info`: which log this is, how much it holds, and of a served one, what serves it."""

from __future__ import annotations

from audit.cli.formats.events import default_format
from audit.cli.formats.rows import print_record
from audit.cli.options import DataDir, Format, FormatOption, Url
from audit.cli.store import open_log
from audit.log.sync import SyncAudit

__all__ = ["info"]


def info(data: DataDir = None, url: Url = None, chosen: FormatOption = None) -> None:
    """Print the store's id, its size, its first and last id, and what signs its checkpoints.

    With --url, also the server's name, version and limits.
    """
    record: dict[str, object]
    with open_log(data, url) as log:
        if isinstance(log, SyncAudit):
            record = log.info()._asdict()
        else:
            told = log.server_info()
            store = told.store
            record = {
                "store_id": store.id,
                "size": store.size,
                "first_id": store.first_id,
                "last_id": store.last_id,
                "origin": store.origin,
                "key": store.key,
                "server": told.name,
                "version": told.version,
                "protocol": told.protocol,
            }
            limits = {name: getattr(told.limits, name) for name in told.limits.__struct_fields__}
            if chosen in {Format.JSON, Format.JSONL} or (chosen is None and default_format() is not Format.TABLE):
                record["limits"] = limits
            else:
                record |= {f"limits.{name}": limit for name, limit in limits.items()}
    print_record(chosen or default_format(), record)

"""`audit init`: create a store, which no other command does."""

from __future__ import annotations

from audit.app import Audit
from audit.cli.formats.events import default_format
from audit.cli.formats.rows import print_record
from audit.cli.options import DataDir, FormatOption, NoUrl, located

__all__ = ["init"]


def init(data: DataDir = None, chosen: FormatOption = None, _url: NoUrl = None) -> None:
    """Create an empty store; it is an error if there is one already."""
    path = located(data)
    info = Audit.init(path)
    print_record(chosen or default_format(), {"store_id": info.store_id, "path": str(path)})

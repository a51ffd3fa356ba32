"""`audit tenant`: logs beside the one without a name, each a store of its own that the same server serves."""

from __future__ import annotations

from typing import Annotated

import typer

from audit.app.tenants import create_tenant, list_tenants, tenant_path
from audit.cli.formats.events import default_format
from audit.cli.formats.rows import print_record, print_rows
from audit.cli.options import DataDir, FormatOption, NoUrl, located

__all__ = ["build"]


def build() -> typer.Typer:
    """Return the commands about tenants."""
    app = typer.Typer(help="Make and list tenants: logs of their own behind one server.", no_args_is_help=True)
    app.command("new")(new)
    app.command("list")(listed)
    return app


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="1-63 of a-z, 0-9 and -.")],
    data: DataDir = None,
    chosen: FormatOption = None,
    _url: NoUrl = None,
) -> None:
    """Create an empty log for a tenant; a running server serves it at /t/NAME/ at once."""
    place = located(data)
    info = create_tenant(place, name)
    row = {"tenant": name, "store_id": info.store_id, "path": str(tenant_path(place, name))}
    print_record(chosen or default_format(), row)


def listed(data: DataDir = None, chosen: FormatOption = None, _url: NoUrl = None) -> None:
    """List the tenants."""
    print_rows(chosen or default_format(), ("tenant",), [{"tenant": name} for name in list_tenants(located(data))])

"""Where tenants' logs are: a store each, under `tenants/NAME/` of a store's directory, with small buffers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from audit.app.audit import Audit
from audit.log.core import StoreInfo
from audit.log.scrub import Scrub
from audit.log.signing import Signing
from audit.metrics.query import Metric
from audit.model.errors import NotFound, StoreMissing
from audit.storage.options import StoreOptions

if TYPE_CHECKING:
    from audit.server.access import Access
    from audit.server.tenants import Opened, TenantOpener

__all__ = ["TENANT_OPTIONS", "create_tenant", "list_tenants", "tenant_opener", "tenant_path"]

_FOLDER: Final = "tenants"
_LOG: Final = "log"
_KIB: Final = 1024
TENANT_OPTIONS: Final = StoreOptions(
    write_buffer_bytes=1024 * _KIB,
    driver_cache_bytes=256 * _KIB,
    block_cache_bytes=1024 * _KIB,
    recent_bytes=512 * _KIB,
    queue_bytes=8 * 1024 * _KIB,
    reserve_bytes=2 * 1024 * _KIB,
)
"""So that a hundred of them take no more than 500 MB."""
_UNSIGNED: Final[Mapping[str, Signing]] = {}


def tenant_path(data: Path, name: str) -> Path:
    """Return the directory of a tenant's store.

    Raises:
        NotFound: no tenant can be called that.
    """
    from audit.server.tenants import check_tenant  # noqa: PLC0415 - the server is an extra

    return data / _FOLDER / check_tenant(name)


def create_tenant(data: Path, name: str) -> StoreInfo:
    """Create the store of a new tenant, beside the one that is there. Blocks, shortly.

    Raises:
        NotFound: no tenant can be called that.
        StoreMissing: there is no store in `data`.
        StoreExists: there is a tenant of this name.
        Unavailable: it can't be written.
    """
    path = tenant_path(data, name)
    if not (data / _LOG).is_dir():
        raise StoreMissing(f"{data} holds no store: `audit init` creates one, and tenants' logs are beside it")
    return Audit.init(path)


def list_tenants(data: Path) -> list[str]:
    """Return the names of the tenants that there are."""
    folder = data / _FOLDER
    return sorted(one.name for one in folder.iterdir() if (one / _LOG).is_dir()) if folder.is_dir() else []


def tenant_opener(
    data: Path,
    access: Callable[[Path], Access],
    scrub: Scrub,
    metrics: Sequence[Metric] = (),
    signing: Mapping[str, Signing] = _UNSIGNED,
) -> TenantOpener:
    """Return what opens the tenants below a store's directory.

    Args:
        data: The directory.
        access: Returns who may do what, by the tenant's directory; blocks, shortly.
        scrub: What is taken out of their events.
        metrics: Registered in each of them, when it is opened.
        signing: How each signs its checkpoints, by name; one that is not there runs unsigned.
    """
    from audit.server.tenants import Opened  # noqa: PLC0415 - the server is an extra

    async def opened(name: str) -> Opened:
        path = tenant_path(data, name)
        if not await asyncio.to_thread((path / _LOG).is_dir):
            raise NotFound(f"there is no tenant {name}")
        rules = await asyncio.to_thread(access, path)
        log = await Audit.open(path, options=TENANT_OPTIONS, scrub=scrub, signing=signing.get(name, Signing()))
        try:
            for metric in metrics:
                log.metrics.register(metric)
        except BaseException:
            await log.close()
            raise
        return Opened(log._core, log, rules)  # noqa: SLF001 - the server's part of it

    return opened

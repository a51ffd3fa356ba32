"""The pages at `/`: files that `make dashboard` has built, held in memory, under a policy that runs nothing else.

The status with `embed=1` may be in a frame of pages that may connect; nothing else may be in any.

A server without them says how they are built. Nothing here is looked up by a path of the peer's on a disk.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

__all__ = ["DIRECTORY", "routes"]

DIRECTORY: Final = Path(__file__).parent / "pages"
_START: Final = "index.html"
_HASHED: Final = "assets/"
"""Below it, a file's name has its contents' hash in it."""
_CLIENT: Final = "client.js"
"""The TypeScript client as one module, for pages of other sites, too: they import it from the server that they use."""
_MISSING: Final = (
    "This audit server has no pages: it was installed without them.\n"
    "In a checkout, with Node 20 or later: make dashboard\n"
    "What it serves besides: /v1/events, /healthz, /metrics, and a WebSocket at /rpc.\n"
)
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors {framers}; "
    "require-trusted-types-for 'script'; trusted-types lit-html"
)
_NOBODY: Final = "'none'"
_HEADERS: Final = {
    # Browsers heed it over TLS alone: from then on they come no other way.
    "strict-transport-security": "max-age=31536000",
    "content-security-policy": _POLICY.format(framers=_NOBODY),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_CLIENT_HEADERS: Final = {
    # It is the same for everybody and says nothing of the log. Who may connect is asked at the WebSocket.
    "access-control-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
    "x-content-type-options": "nosniff",
}
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}


class _File(NamedTuple):
    body: bytes
    media_type: str
    headers: dict[str, str]


def routes(directory: Path = DIRECTORY, framers: Sequence[str] = ()) -> list[BaseRoute]:
    """Return a route for each page and file, read now; without any, one that says how to build them.

    Args:
        directory: Where they were built.
        framers: Origins of pages that may have the status in a frame, beside the server's own.
    """
    if not (directory / _START).is_file():
        return [Route("/", _explain)]
    paths = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    files = {path.relative_to(directory).as_posix(): path for path in paths}
    found: list[BaseRoute] = [Route(f"/{name}", _answers(_read(name, path))) for name, path in files.items()]
    start = _read(_START, files[_START])
    policy = _POLICY.format(framers=" ".join(["'self'", *framers]))
    framed = start._replace(headers={**start.headers, "content-security-policy": policy})
    return [Route("/", _answers(start, framed)), *found]


async def _explain(_request: Request) -> Response:
    return PlainTextResponse(_MISSING, HTTPStatus.NOT_FOUND, _HEADERS)


def _read(name: str, path: Path) -> _File:
    body = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    kept = _FOR_EVER if name.startswith(_HASHED) else _ASK_AGAIN
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = _CLIENT_HEADERS if name == _CLIENT else _HEADERS
    return _File(body, kind, {**headers, "cache-control": kept, "etag": tag})


def _answers(plain: _File, framed: _File | None = None) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        # What this address shows has nothing to click on that does anything: all else is in no frame.
        # Given twice, it might be read as one by us and as the other by the page.
        embed = request.query_params.getlist("embed") == ["1"]
        file = framed if framed is not None and embed else plain
        if file.headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=file.headers)
        return Response(file.body, headers=file.headers, media_type=file.media_type)

    return answer

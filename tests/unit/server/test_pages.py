"""Pages: what is built is served as it is, under the policy, and nothing else of the disk is."""

from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.types import Message

from audit.server.pages import routes


async def ask(
    app: Starlette, path: str, query: str = "topic=node", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    sent: list[Message] = []
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": path,
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], told, b"".join([message.get("body", b"") for message in sent[1:]])


@pytest.fixture
def built(tmp_path: Path) -> Starlette:
    pages = tmp_path / "pages"
    (pages / "assets").mkdir(parents=True)
    (pages / "index.html").write_text("<!doctype html>", encoding="utf-8")
    (pages / "icon.svg").write_text("<svg/>", encoding="utf-8")
    (pages / "assets" / "index-1a2b.js").write_text("1", encoding="utf-8")
    (pages / "client.js").write_text("export {}", encoding="utf-8")
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    return Starlette(routes=routes(pages, ["https://status.example"]))


@pytest.mark.parametrize(
    ("path", "kind", "kept", "body"),
    [
        ("/", "text/html; charset=utf-8", "no-cache", b"<!doctype html>"),
        ("/icon.svg", "image/svg+xml", "no-cache", b"<svg/>"),
        ("/assets/index-1a2b.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", b"1"),
    ],
)
async def test_what_was_built_is_served_with_its_type_policy_and_how_long_to_keep_it(
    built: Starlette, path: str, kind: str, kept: str, body: bytes
) -> None:
    status, headers, found = await ask(built, path)
    assert (status, found, headers["content-type"], headers["cache-control"]) == (200, body, kind, kept)
    policy = headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert not [part for part in policy if "unsafe" in part or "*" in part]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["strict-transport-security"] == "max-age=31536000"


def framers(headers: dict[str, str]) -> str:
    parts = headers["content-security-policy"].split("; ")
    return next(part for part in parts if part.startswith("frame-ancestors "))


async def test_the_status_alone_may_be_framed_and_by_allowed_origins_alone(built: Starlette) -> None:
    _, headers, body = await ask(built, "/", "view=status&embed=1")
    assert framers(headers) == "frame-ancestors 'self' https://status.example"
    again = await ask(built, "/", "embed=1", if_none_match=headers["etag"])
    assert (again[0], framers(again[1])) == (304, framers(headers))
    for path, query in [
        ("/", ""),
        ("/", "view=events"),
        ("/", "embed=0"),
        ("/", "embed=0&embed=1"),
        ("/index.html", "embed=1"),
    ]:
        _, others, found = await ask(built, path, query)
        assert (framers(others), found) == ("frame-ancestors 'none'", body)
        # All but that is the same.
        assert {**others, "content-security-policy": ""} == {**headers, "content-security-policy": ""}


async def test_the_client_may_be_imported_by_pages_of_any_origin(built: Starlette) -> None:
    status, headers, body = await ask(built, "/client.js", origin="https://status.example")
    assert (status, body, headers["content-type"]) == (200, b"export {}", "text/javascript; charset=utf-8")
    assert headers["access-control-allow-origin"] == "*"
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["cache-control"] == "no-cache"
    # The pages themselves are for nobody else.
    assert "access-control-allow-origin" not in (await ask(built, "/"))[1]


async def test_who_has_it_already_is_told_so(built: Starlette) -> None:
    _, headers, _ = await ask(built, "/")
    status, again, body = await ask(built, "/", if_none_match=headers["etag"])
    assert (status, body, again["etag"]) == (304, b"", headers["etag"])
    assert (await ask(built, "/", if_none_match='"other"'))[0] == 200


@pytest.mark.parametrize("path", ["/secret", "/../secret", "/assets/../../secret", "/assets", "/assets/", "/index"])
async def test_nothing_else_is_served(built: Starlette, path: str) -> None:
    assert (await ask(built, path))[0] == 404


async def test_without_pages_it_says_how_they_are_built(tmp_path: Path) -> None:
    status, headers, body = await ask(Starlette(routes=routes(tmp_path)), "/")
    assert (status, headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert b"make dashboard" in body

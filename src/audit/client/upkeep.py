"""A served log's backup and check, over HTTP: one request each, blocking. What comes is for the caller to check."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl as tls
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote, urlencode, urlsplit

import msgspec

from audit.client.address import Address, parse_address
from audit.log.backup import Since
from audit.model.errors import AuditError, MethodNotFound, ProtocolViolation, Unavailable
from audit.protocol.errors import from_wire
from audit.protocol.limits import PATH
from audit.protocol.messages import WireError, WireErrorData

__all__ = ["fetch_backup", "fetch_check", "fetch_ready"]

_TIMEOUT_S: Final = 60.0
_MAX_LINE_BYTES: Final = 16 * 1024 * 1024


class _Problem(msgspec.Struct):
    detail: str
    code: str
    retryable: bool = False
    parameter: str | None = None


@contextmanager
def fetch_backup(
    url: str, since: Since | None = None, ssl: tls.SSLContext | None = None, token: str | None = None
) -> Iterator[Callable[[int], bytes]]:
    """Ask a server for a backup; yield how to read so many bytes of it, or fewer at its end.

    Args:
        url: As of `connect`.
        since: What it is to go on from.
        ssl: Certificates for `wss://`; None: those that the system trusts.
        token: As of `connect`.

    Raises:
        InvalidParameter: the URL is none, or the log does not go on from `since`.
        Forbidden, Unauthorized: the server does not allow it.
        MethodNotFound: the server is older than backups.
        Unavailable: nothing answers, or the connection is lost.
    """
    query = ""
    if since is not None:
        fields = {"since": since.size, "since_id": since.last_id, "since_hash": since.hash}
        query = "?" + urlencode({name: value for name, value in fields.items() if value is not None})
    with _answer(url, "GET", f"/v1/backup{query}", ssl, token) as answer:

        def read(count: int) -> bytes:
            found = b""
            while len(found) < count:
                piece = answer.read(count - len(found))
                if not piece:
                    break
                found += piece
            return found

        yield read


def fetch_check(url: str, ssl: tls.SSLContext | None = None, token: str | None = None) -> Iterator[dict[str, Any]]:
    """Have a server check all its records; yield what it tells: how far it is, and last what it found.

    Raises:
        As `fetch_backup`; what the check itself fails with, too.
    """
    with _answer(url, "POST", "/v1/fsck", ssl, token) as answer:
        while line := answer.readline(_MAX_LINE_BYTES):
            try:
                told: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.MsgspecError as error:
                raise Unavailable(f"the answer ends in the middle: {error}") from error
            if "error" in told:
                raise _error(str(told["error"].get("message")), str(told["error"].get("code")))
            yield told


def fetch_ready(url: str, ssl: tls.SSLContext | None = None) -> str | None:
    """Ask a server whether it takes appends: None, or why not.

    Raises:
        InvalidParameter, ProtocolViolation, Unavailable: as `fetch_backup`.
    """
    with _answer(url, "GET", "/readyz", ssl, None, also=http.client.SERVICE_UNAVAILABLE) as answer:
        body = answer.read(_MAX_LINE_BYTES)
    try:
        told: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ProtocolViolation(f"what answers there is no audit server: {error}") from error
    return None if told.get("ready") is True else str(told.get("reason"))


@contextmanager
def _answer(  # noqa: PLR0917 - what a request is made of
    url: str, method: str, path: str, ssl: tls.SSLContext | None, token: str | None, also: int = http.client.OK
) -> Iterator[http.client.HTTPResponse]:
    address = parse_address(url)
    connection, prefix, headers = _connection(address, ssl)
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    try:
        connection.request(method, prefix + path, headers=headers)
        answer = connection.getresponse()
        if answer.status not in {http.client.OK, also}:
            raise _refusal(answer)
        yield answer
    except http.client.HTTPException as error:
        raise Unavailable(f"{address.shown}: the connection was lost: {type(error).__name__}") from error
    except OSError as error:
        raise Unavailable(f"{address.shown}: {error.strerror or error}") from error
    finally:
        connection.close()


def _connection(address: Address, ssl: tls.SSLContext | None) -> tuple[http.client.HTTPConnection, str, dict[str, str]]:
    """Return a connection, what stands before `/v1` in paths, and the headers to send."""
    if address.socket_path is not None:
        return _UnixConnection(address.socket_path), "", {}
    parts = urlsplit(address.uri)
    headers = {}
    if parts.username is not None:
        named = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["authorization"] = "Basic " + base64.b64encode(named.encode()).decode()
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "wss":
        context = ssl or tls.create_default_context()
        connection = http.client.HTTPSConnection(host, parts.port, timeout=_TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=_TIMEOUT_S)
    return connection, parts.path.removesuffix(PATH), headers


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket in place of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _refusal(answer: http.client.HTTPResponse) -> AuditError:
    body = answer.read(_MAX_LINE_BYTES)
    if answer.headers.get_content_type() != "application/problem+json":
        return ProtocolViolation(f"what answers there is no audit server: {answer.status} {answer.reason}")
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.MsgspecError as error:
        return ProtocolViolation(f"what answers there is no audit server: {error}")
    if answer.status in {http.client.NOT_FOUND, http.client.METHOD_NOT_ALLOWED}:
        return MethodNotFound("the server has no such request: it is older than this client")
    return _error(problem.detail, problem.code, problem.parameter, retryable=problem.retryable)


def _error(message: str, code: str, parameter: str | None = None, *, retryable: bool = False) -> AuditError:
    return from_wire(WireError(code=0, message=message, data=WireErrorData(code, retryable, parameter)))

import pytest

from audit.client.address import parse_address
from audit.model.errors import InvalidParameter


@pytest.mark.parametrize(
    ("url", "uri", "shown"),
    [
        ("ws://h:1", "ws://h:1/rpc", "ws://h:1/rpc"),
        ("ws://h:1/", "ws://h:1/rpc", "ws://h:1/rpc"),
        ("wss://h/x/rpc?a=b", "wss://h/x/rpc?a=b", "wss://h/x/rpc"),
        ("http://h:1", "ws://h:1/rpc", "ws://h:1/rpc"),
        ("HTTPS://h", "wss://h/rpc", "wss://h/rpc"),
        ("ws://[::1]:80", "ws://[::1]:80/rpc", "ws://[::1]:80/rpc"),
        ("wss://ada:secret@h", "wss://ada:secret@h/rpc", "wss://h/rpc"),
    ],
)
def test_url_gets_the_path_and_scheme_that_a_socket_needs(url: str, uri: str, shown: str) -> None:
    assert parse_address(url) == (uri, None, shown)


@pytest.mark.parametrize("url", ["unix:/run/a.sock", "unix:///run/a.sock", "ws+unix:/run/a.sock"])
def test_unix_socket_is_given_by_its_path(url: str) -> None:
    assert parse_address(url) == ("ws://localhost/rpc", "/run/a.sock", "unix:/run/a.sock")


@pytest.mark.parametrize(
    "url", ["", "h:1", "127.0.0.1:8440", "ftp://h", "ws://", "ws:///rpc", "unix:", "ws://h:port", "ws://h/#x", 5, None]
)
def test_anything_else_is_refused(url: object) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_address(url)
    assert refused.value.parameter == "url"

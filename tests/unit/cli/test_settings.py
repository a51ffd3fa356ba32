from pathlib import Path
from typing import Any

import pytest

from audit import InvalidParameter
from audit.cli.settings import Settings, merge, read_file, stray_variables

PLACES = {name: f"--{name.replace('_', '-')}" for name in Settings.__struct_fields__}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.toml"


def merged(given: dict[str, Any] | None = None, path: Path | None = None) -> Settings:
    return merge(given or {}, PLACES, path)[0]


def test_nothing_said_is_a_server_on_loopback() -> None:
    assert merged() == Settings()
    assert merged(dict.fromkeys(PLACES) | {"listen": [], "allow_origin": []}) == Settings()
    assert Settings().listen == ["127.0.0.1:8440"]


def test_what_is_given_goes_before_the_file_and_that_before_what_is_built_in(file: Path) -> None:
    file.write_text('data = "d"\nlisten = ["a:1", "unix:b"]\nlog_format = "json"\ncreate = true\n', encoding="utf-8")
    settings = merged({"log_format": "console", "listen": None}, file)
    assert settings == Settings(data="d", listen=["a:1", "unix:b"], log_format="console", create=True)


def test_one_address_needs_no_list(file: Path) -> None:
    file.write_text('listen = "a:1"\nallow_origin = "https://x"\n', encoding="utf-8")
    assert read_file(file) == {"listen": ["a:1"], "allow_origin": ["https://x"]}


def test_every_setting_can_be_in_the_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "pem").touch()
    texts = {
        "data": '"d"',
        "create": "true",
        "accept_clock": "true",
        "listen": '["a:1"]',
        "tls_cert": f'"{tmp_path}/pem"',
        "tls_key": f'"{tmp_path}/pem"',
        "key": f'["{tmp_path}/pem"]',
        "origin": '"the log"',
        "checkpoint_file": '"c"',
        "allow_origin": '["https://x"]',
        "auth": '"tokens"',
        "tls_client_ca": f'"{tmp_path}/pem"',
        "trusted_proxies": '["10.0.0.0/8"]',
        "log_format": '"json"',
        "log_level": '"debug"',
        "roles": '{ uploader = { verbs = ["append"], pinned = true } }',
        "certificates": '{ "CN=collector" = { role = "uploader", topics = ["node"] } }',
        "jwt": '{ issuer = "https://id", audience = "audit", jwks = "keys.json" }',
        "cedar": '{ policies = "p.cedar", entities = "e.json" }',
        "tenants": '{ acme = { key = ["k"], checkpoint_file = "c" } }',
        "scrub": '{ profile = "gdpr", key_file = "k" }',
        "users": '{ root = { role = "admin", topics = ["/"] } }',
        "metrics": '{ denied = { measure = "count", filter = { outcome = "denied" } } }',
    }
    assert set(texts) == set(PLACES)
    file.write_text("".join(f"{name} = {text}\n" for name, text in texts.items()), encoding="utf-8")
    settings = merged(path=file)
    assert all(getattr(settings, name) != getattr(Settings(), name) for name in texts)


@pytest.mark.parametrize(
    ("text", "named", "problem"),
    [
        ('lisen = "a:1"', ": lisen", "is unknown; known are data, create"),
        ('log-format = "json"', ": log-format", "it is written log_format"),
        ("[server]\nlisten = 1", ": server", "is unknown"),
        ("listen = 8440", ": listen", "expected"),
        ("listen = [8440]", ": listen", r"\[0\]"),
        ("create = 1", ": create", "expected `bool`, got `int`"),
        ("data = true", ": data", "expected `str`"),
        ('log_format = "xml"', ": log_format", "must be one of console, json, got 'xml'"),
        ("log_format = 1", ": log_format", "expected"),
        ("listen = []", ": listen", "at least one"),
        ('allow_origin = "https://x/path"', ": allow_origin", "must be an origin"),
        ('tls_cert = "/nowhere"', ": tls_cert", "no file /nowhere"),
        ("listen = ", "--config", "is no TOML"),
        ("data = '\udcff'", "--config", "is no TOML"),
    ],
)
def test_a_bad_setting_is_refused_by_file_and_name(file: Path, text: str, named: str, problem: str) -> None:
    file.write_text(text + "\n", encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InvalidParameter, match=problem) as refused:
        merged(path=file)
    assert refused.value.parameter == (named if named.startswith("--") else f"{file}{named}")
    assert str(file) in str(refused.value)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InvalidParameter, match=str(path)) as refused:
            merged(path=path)
        assert refused.value.parameter == "--config"


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"log_format": "xml"}, "--log-format"),
        ({"log_level": "loud"}, "--log-level"),
        ({"allow_origin": ["*"]}, "--allow-origin"),
        ({"allow_origin": ["status.example"]}, "--allow-origin"),
        ({"allow_origin": ["https://x", "null"]}, "--allow-origin"),
        ({"allow_origin": ["https://user@x"]}, "--allow-origin"),
        ({"tls_key": "x"}, "--tls-key"),
        ({"tls_cert": "/nowhere"}, "--tls-cert"),
    ],
)
def test_a_bad_flag_is_refused_by_name(given: dict[str, Any], parameter: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        merged(given)
    assert refused.value.parameter == parameter


@pytest.mark.parametrize(
    "origin", ["https://x", "http://localhost:3000", "https://a.b-c.example:8443", "http://[::1]:1"]
)
def test_an_origin_has_a_scheme_a_host_and_perhaps_a_port(origin: str) -> None:
    assert merged({"allow_origin": [origin]}).allow_origin == [origin]


def test_variables_that_look_like_settings_are_found_but_not_those_of_kubernetes() -> None:
    found = stray_variables(
        [
            "AUDIT_DATA",
            "AUDIT_LISTN",
            "AUDIT_PORT",
            "AUDIT_PORT_8440_TCP_ADDR",
            "AUDIT_SERVICE_HOST",
            "PATH",
            "AUDITOR",
        ],
        ["AUDIT_DATA"],
    )
    assert found == ["AUDIT_LISTN"]

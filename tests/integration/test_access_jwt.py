"""Tokens of an identity provider, and certificates: who vouches for somebody, and who does not."""

import asyncio
import base64
import hmac
import json
import ssl
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from audit.client import connect
from audit.model.errors import Forbidden, InvalidParameter, Unauthorized, Unavailable
from audit.server.access.guard import GuardedAccess
from audit.server.access.jwt import Provider
from audit.server.access.provider import JwtSettings
from audit.server.access.rules import AccessRules, Assigned
from audit.server.options import ServeOptions
from audit.testing import FakeClock, memory_audit

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


def jwk(key: Any, name: str) -> dict[str, Any]:
    return jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": name, "alg": "ES256"}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def provider(tmp_path: Path, clock: FakeClock) -> Provider:
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [jwk(KEY, "one")]}))
    settings = JwtSettings(issuer="https://id.example", audience="audit", jwks=str(tmp_path / "keys.json"))
    return Provider(settings, clock)


def claims(clock: FakeClock, **more: Any) -> dict[str, Any]:
    now = clock.wall_ms() // 1000
    return {
        "iss": "https://id.example",
        "aud": "audit",
        "sub": "ada",
        "exp": now + 600,
        "audit_role": "reader",
        "audit_topics": ["a/b"],
    } | more


def token(clock: FakeClock, key: Any = KEY, kid: str | None = "one", algorithm: str = "ES256", **more: Any) -> str:
    given = {name: value for name, value in claims(clock, **more).items() if value is not None}
    return jwt.encode(given, key, algorithm, headers={} if kid is None else {"kid": kid})


async def test_what_the_provider_vouches_for_is_believed(provider: Provider, clock: FakeClock) -> None:
    found = await provider.verify(token(clock))
    assert (found.subject, found.assigned.role, found.assigned.topics) == ("ada", "reader", (("a", "b"),))
    assert found.expires_ms == (clock.wall_ms() // 1000 + 660) * 1000
    assert await provider.verify(token(clock, kid=None)) == found


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"iss": "https://evil.example"}, "not good"),
        ({"aud": "else"}, "not good"),
        ({"exp": 1}, "has expired"),
        ({"exp": None}, "not good"),
        ({"sub": None}, "not good"),
        ({"sub": "a\nb"}, "printable"),
        ({"nbf": 4_000_000_000}, "not good yet"),
        ({"audit_role": None}, "no claim audit_role"),
        ({"audit_topics": None}, "must be a list"),
        ({"audit_topics": "a/b"}, "must be a list"),
        ({"audit_topics": ["a//b"]}, "audit_topics"),
        ({"key": OTHER}, "not good"),
        ({"kid": "two"}, "does not have"),
        ({"key": rsa.generate_private_key(65537, 2048), "algorithm": "RS256"}, "not good"),
        ({"key": "s" * 40, "algorithm": "HS256"}, "not good"),
        ({"audit_role": "x" * 9_000}, "too long"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_what_is_not_good_is_refused(
    provider: Provider, clock: FakeClock, more: dict[str, Any], says: str
) -> None:
    with pytest.raises(Unauthorized, match=says):
        await provider.verify(token(clock, **more))


async def test_a_public_key_is_no_secret(provider: Provider, clock: FakeClock) -> None:
    public = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    _, body, _ = token(clock).split(".")
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').decode().rstrip("=")
    mac = hmac.digest(public, f"{header}.{body}".encode(), "sha256")
    for forged in (
        f"{header}.{body}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}",
        jwt.encode(claims(clock), "", "none", headers={"kid": "one"}),
    ):
        with pytest.raises(Unauthorized):
            await provider.verify(forged)


async def test_a_new_key_is_looked_for_now_and_then(provider: Provider, clock: FakeClock, tmp_path: Path) -> None:
    await provider.verify(token(clock))
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [jwk(KEY, "one"), jwk(OTHER, "two")]}))
    with pytest.raises(Unauthorized):
        await provider.verify(token(clock, OTHER, "two"))
    clock.advance(30_000)
    assert (await provider.verify(token(clock, OTHER, "two"))).subject == "ada"
    (tmp_path / "keys.json").write_text("damaged")
    clock.advance(30_000)
    with pytest.raises(Unauthorized):
        await provider.verify(token(clock, OTHER, "three"))
    assert (await provider.verify(token(clock))).subject == "ada"


async def test_keys_that_cannot_be_had_are_no_reason_to_let_anybody_in(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "keys.json").write_text("{}")
    provider = Provider(JwtSettings(issuer="i", audience="a", jwks=str(tmp_path / "keys.json")), clock)
    with pytest.raises(Unavailable, match="keys of i can't be had"):
        await provider.verify(token(clock))


def test_keys_are_a_file_or_come_over_https(clock: FakeClock) -> None:
    for place in ("http://id.example/keys", "/no/such/file"):
        with pytest.raises(InvalidParameter, match="jwks"):
            Provider(JwtSettings(issuer="i", audience="a", jwks=place), clock)


async def test_a_jwt_opens_a_connection_until_it_expires(tmp_path: Path, provider: Provider, clock: FakeClock) -> None:
    access = GuardedAccess(tmp_path / "tokens.json", AccessRules(), clock, verify_jwt=provider.verify)
    async with (
        memory_audit() as log,
        log.serve("127.0.0.1:0", access=access) as server,
        connect(server.urls[0], token=token(clock)) as client,
    ):
        assert (await client.list(("a", "b"))).slices == []
        with pytest.raises(Forbidden):
            await client.list(("a",))
        clock.advance(660_000)
        with pytest.raises(Unauthorized, match="expired"):
            await client.list(("a", "b"))


@pytest.mark.parametrize("moved", [False, True])
async def test_keys_come_from_where_the_settings_say(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *, moved: bool
) -> None:
    authority = Authority(tmp_path, "ours")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(authority.certificate("localhost"))
    body = json.dumps({"keys": [jwk(KEY, "one")]}).encode()
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split()[1])
        start = b"HTTP/1.1 302 Found\r\nlocation: /other\r\n" if moved else b"HTTP/1.1 200 OK\r\n"
        writer.write(start + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls) as listening:
        port = listening.sockets[0].getsockname()[1]
        keys = f"https://localhost:{port}/keys"
        provider = Provider(JwtSettings(issuer="https://id.example", audience="audit", jwks=keys), clock)
        if moved:
            with pytest.raises(Unavailable, match="can't be had"):
                await provider.verify(token(clock))
        else:
            assert (await provider.verify(token(clock))).subject == "ada"
    assert asked == [b"/keys"]


@pytest.mark.parametrize(
    ("named", "good"),
    [
        ("acme", ["acme"]),
        (["acme", "zoo"], ["acme", "zoo"]),
        ("", [""]),
        (["", "zoo"], ["", "zoo"]),
        (None, []),
        ([], []),
        (["acme", 5, None], ["acme"]),
        ({"acme": 1}, []),
        ("ACME", []),
        ("acme/", []),
    ],
)
async def test_a_jwt_is_good_in_the_tenants_that_it_names(
    tmp_path: Path, clock: FakeClock, named: Any, good: list[str]
) -> None:
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [jwk(KEY, "one")]}))
    keys = str(tmp_path / "keys.json")
    provider = Provider(JwtSettings(issuer="https://id.example", audience="audit", jwks=keys, tenant_claim="t"), clock)
    for tenant in ("", "acme", "zoo"):
        verify = provider.verifier(tenant)
        assert verify is not None
        for check in (verify, provider.verify) if tenant == "" else (verify,):
            if tenant in good:
                assert (await check(token(clock, t=named))).subject == "ada"
            else:
                with pytest.raises(Unauthorized, match="not known here"):
                    await check(token(clock, t=named))


async def test_tenants_are_not_for_jwts_that_name_none(provider: Provider) -> None:
    assert provider.verifier("acme") is None


async def test_what_is_wrong_with_a_jwt_is_told_to_who_belongs_to_the_tenant(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [jwk(KEY, "one")]}))
    keys = str(tmp_path / "keys.json")
    provider = Provider(JwtSettings(issuer="https://id.example", audience="audit", jwks=keys, tenant_claim="t"), clock)
    verify = provider.verifier("acme")
    assert verify is not None
    with pytest.raises(Unauthorized, match="has expired"):
        await verify(token(clock, t="acme", exp=1))
    for strange in ("a.b.c", token(clock, t="zoo", exp=1), token(clock, OTHER, t="acme"), "x" * 9_000):
        with pytest.raises(Unauthorized) as raised:
            await verify(strange)
        assert str(raised.value) == "the token is not known here"


# -- certificates


class Authority:
    """Makes certificates, as files."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = self._write(name, self._key, self._sign(self._name, self._key, authority=True))

    def certificate(self, name: str) -> Path:
        subject = [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
        key = ec.generate_private_key(ec.SECP256R1())
        return self._write(name, key, self._sign(x509.Name(subject), key, authority=False))

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        builder = (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(names, critical=False)
        )
        return builder.sign(self._key, SHA256())

    def _write(self, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Path:
        path = self._folder / f"{name}.pem"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(certificate.public_bytes(Encoding.PEM) + secret)
        return path


async def test_tls_below_1_2_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    options = ServeOptions(tls_cert=authority.certificate("localhost"))

    def speaking(version: ssl.TLSVersion) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(authority.file))
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = version
            context.maximum_version = version
        return context

    async with memory_audit() as log, log.serve("localhost:0", options=options) as server:
        url = server.urls[0].replace("127.0.0.1", "localhost")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            async with connect(url, ssl=speaking(version)) as client:
                assert (await client.list()).slices == []
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with pytest.raises(Unavailable):
                await connect(url, ssl=speaking(version))


async def test_a_certificate_says_who_somebody_is(tmp_path: Path, clock: FakeClock) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    server_file = ours.certificate("localhost")
    rules = AccessRules(certificates={"CN=collector,O=Example": Assigned("reader", (("a",),))})
    access = GuardedAccess(tmp_path / "tokens.json", rules, clock)
    options = ServeOptions(tls_cert=server_file, tls_client_ca=ours.file)

    def shown(file: Path | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(ours.file))
        if file is not None:
            context.load_cert_chain(file)
        return context

    async with memory_audit() as log, log.serve("localhost:0", options=options, access=access) as server:
        url = server.urls[0].replace("127.0.0.1", "localhost")
        async with connect(url, ssl=shown(ours.certificate("collector"))) as client:
            assert (await client.list(("a",))).slices == []
            with pytest.raises(Forbidden):
                await client.list()
        with pytest.raises(Unauthorized, match="CN=stranger,O=Example is not known here"):
            await connect(url, ssl=shown(ours.certificate("stranger")))
        with pytest.raises(Unauthorized, match="say who you are"):
            await connect(url, ssl=shown(None))
        # One that nobody here vouches for does not even get to ask.
        with pytest.raises(Unavailable):
            await connect(url, ssl=shown(theirs.certificate("collector")))

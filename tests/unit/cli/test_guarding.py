"""Access as settings have it: who is asked, what decides, and which settings are refused by name."""

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from audit.cli.guarding import access_of, tenant_access
from audit.cli.settings import Settings, read_file
from audit.model.errors import Forbidden, InvalidParameter, Unauthorized
from audit.server.access import Ask, OpenAccess
from audit.server.access.guard import GuardedAccess

KEY = ec.generate_private_key(ec.SECP256R1())
POLICIES = """
permit(principal, action, resource in Topic::"a") when { context.tenant == "" };
permit(principal, action, resource in Topic::"b") when { context.tenant == "acme" };
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.cedar").write_text(POLICIES)
    (tmp_path / "e.json").write_text("[]")
    key = jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True) | {"kid": "k", "alg": "ES256"}
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [key]}))
    (tmp_path / "audit.toml").write_text(f"""
data = "{tmp_path}"
[cedar]
policies = "{tmp_path}/p.cedar"
entities = "{tmp_path}/e.json"
[jwt]
issuer = "https://id.example"
audience = "audit"
jwks = "{tmp_path}/keys.json"
tenant_claim = "tenant"
""")
    return tmp_path


class Named(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return f"audit.toml: {name}"


def settings_of(folder: Path) -> Settings:
    return Settings(**read_file(folder / "audit.toml"))


def shown(**claims: Any) -> dict[str, Any]:
    said = {"iss": "https://id.example", "aud": "audit", "sub": "ada", "exp": 4_000_000_000, "audit_role": "reader"}
    text = jwt.encode(said | {"audit_topics": ["/"]} | claims, KEY, "ES256", headers={"kid": "k"})
    return {"headers": [(b"authorization", b"Bearer " + text.encode())], "client": ("192.0.2.1", 1)}


async def test_policies_and_tokens_of_a_provider_hold_for_each_tenant(folder: Path) -> None:
    settings = settings_of(folder)
    own = access_of(settings, Named(), local=True)
    assert isinstance(own, GuardedAccess)
    acme = tenant_access(settings, Named(), required=True)(folder / "tenants" / "acme")
    for access, tenant, allowed, denied in ((own, "", ("a",), ("b",)), (acme, "acme", ("b",), ("a",))):
        principal = await access.authenticate(shown(tenant=tenant))
        access.authorise(principal, Ask("read", [allowed]))
        with pytest.raises(Forbidden, match="more than the policies allow"):
            access.authorise(principal, Ask("read", [denied]))
        with pytest.raises(Unauthorized, match="not known here"):
            await access.authenticate(shown(tenant="zoo"))
        with pytest.raises(Unauthorized, match="not known here"):
            await access.authenticate(shown())


async def test_without_a_claim_tokens_of_a_provider_are_for_the_log_without_a_name(folder: Path) -> None:
    file = folder / "audit.toml"
    file.write_text(file.read_text().replace('tenant_claim = "tenant"', ""))
    settings = settings_of(folder)
    own = access_of(settings, Named(), local=True)
    assert own is not None
    assert (await own.authenticate(shown())).name == "ada"
    acme = tenant_access(settings, Named(), required=True)(folder / "tenants" / "acme")
    with pytest.raises(Unauthorized, match="not known here"):
        await acme.authenticate(shown(tenant="acme"))


def test_a_server_that_asks_nobody_has_no_use_for_policies(folder: Path) -> None:
    settings = settings_of(folder)
    off = Settings(data=str(folder), auth="off", cedar=settings.cedar)
    with pytest.raises(InvalidParameter, match=r"audit\.toml: cedar: is of no use with auth = off"):
        access_of(off, Named(), local=True)
    assert isinstance(tenant_access(off, Named(), required=False)(folder / "x"), OpenAccess)
    # With policies, everybody is asked; without anything, nobody is.
    assert access_of(Settings(data=str(folder), cedar=settings.cedar), Named(), local=True) is not None
    assert access_of(Settings(data=str(folder)), Named(), local=True) is None


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("p.cedar", "permit(", r"p\.cedar: is no set of Cedar policies"),
        ("p.cedar", 'permit(principal in Role::"king", action, resource);', r"p\.cedar: policy 'policy0': roles are"),
        ("p.cedar", None, r"p\.cedar: can't be read: No such file"),
        ("e.json", "{", r"e\.json: holds no entities"),
        ("keys.json", None, r"audit\.toml: jwt\.jwks: there is no file"),
    ],
)
def test_what_is_not_good_is_said_at_start(folder: Path, file: str, text: str | None, problem: str) -> None:
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(text)
    with pytest.raises(InvalidParameter, match=problem):
        access_of(settings_of(folder), Named(), local=True)

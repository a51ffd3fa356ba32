"""Access as the settings of `audit serve` have it: whether everybody must say who they are, and what they may do."""

from __future__ import annotations

import logging
import pwd
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from audit.cli.settings import Given, Settings
from audit.log.clock import Clock, SystemClock
from audit.model.errors import InvalidParameter
from audit.model.topic import parse_topic
from audit.server.access import Access, OpenAccess
from audit.server.access.addresses import parse_network
from audit.server.access.guard import GuardedAccess
from audit.server.access.policies import Policies
from audit.server.access.rules import ROLES, VERBS, AccessRules, Assigned, Role, role_of
from audit.server.access.tokenfile import NAME

if TYPE_CHECKING:
    from audit.server.access.jwt import Provider

__all__ = ["access_of", "roles_of", "tenant_access"]

_log: Final = logging.getLogger("audit.serve")


def access_of(settings: Settings, named: Mapping[str, str], *, local: bool) -> Access | None:
    """Return what decides on access to the log without a name; None: everybody may do everything.

    Args:
        settings: Of the server.
        named: How errors call each of them.
        local: Whether only this machine can reach it.

    Raises:
        InvalidParameter: a setting is out of form, or everybody on the network might do everything.
        Unavailable: the tokens can't be read.
    """
    tokens = Path(settings.data or "") / NAME
    rules = _rules(settings, named)
    somebody = tokens.exists() or rules.certificates or rules.users or settings.jwt or settings.cedar
    chosen = settings.auth or ("off" if local and not somebody else "tokens")
    if chosen == "off":
        if not local:
            problem = "off is for 127.0.0.1, localhost and unix sockets: other machines may reach this server"
            raise InvalidParameter(named["auth"], problem)
        if settings.cedar is not None:
            raise InvalidParameter(named["cedar"], "is of no use with auth = off: policies are about who is known")
        return None
    if not somebody:
        _log.warning("nobody is known to this server yet: audit token new makes a token")
    clock = SystemClock()
    provider, policies = _provider(settings, named, clock), _policies(settings, named, rules.roles)
    return GuardedAccess(
        tokens, rules, clock, verify_jwt=None if provider is None else provider.verify, policies=policies
    )


def tenant_access(settings: Settings, named: Mapping[str, str], *, required: bool) -> Callable[[Path], Access]:
    """Return what decides on access to a tenant's log, by its directory. Tokens of one are unknown in all others.

    Raises:
        InvalidParameter: a setting is out of form.
    """
    # All of them are checked once, here, and not when the first one asks.
    _rules(settings, named)
    clock = SystemClock()
    provider = _provider(settings, named, clock)

    def access(path: Path) -> Access:
        if not required:
            return OpenAccess()
        rules = _rules(settings, named, path.name)
        policies = _policies(settings, named, rules.roles, path.name)
        verify = None if provider is None else provider.verifier(path.name)
        return GuardedAccess(path / NAME, rules, clock, verify_jwt=verify, policies=policies)

    return access


def _provider(settings: Settings, named: Mapping[str, str], clock: Clock) -> Provider | None:
    if settings.jwt is None:
        return None
    try:
        from audit.server.access.jwt import Provider  # noqa: PLC0415 - an extra
    except ImportError as error:
        problem = f"needs more packages: pip install 'audit-store[jwt]' ({error})"
        raise InvalidParameter(named["jwt"], problem) from error
    try:
        return Provider(settings.jwt, clock)
    except InvalidParameter as error:
        raise InvalidParameter(f"{named['jwt']}.jwks", error.problem) from error


def _policies(
    settings: Settings, named: Mapping[str, str], roles: Mapping[str, Role], tenant: str = ""
) -> Policies | None:
    if settings.cedar is None:
        return None
    try:
        from audit.server.access.cedar import CedarPolicies  # noqa: PLC0415 - an extra
    except ImportError as error:
        problem = f"needs more packages: pip install 'audit-store[cedar]' ({error})"
        raise InvalidParameter(named["cedar"], problem) from error
    places = [place for place in (settings.cedar.policies, settings.cedar.entities) if place is not None]

    def judges(texts: Sequence[str]) -> CedarPolicies:
        return CedarPolicies(texts, roles=roles, tenant=tenant, places=places)

    return Policies([Path(place) for place in places], judges)


def _rules(settings: Settings, named: Mapping[str, str], tenant: str | None = None) -> AccessRules:
    roles = roles_of(settings, named)
    try:
        proxies = [parse_network(text) for text in settings.trusted_proxies]
    except InvalidParameter as error:
        raise InvalidParameter(named["trusted_proxies"], error.problem) from error
    return AccessRules(
        roles=roles,
        certificates={
            subject: _assigned(given, roles, f"{named['certificates']}.{subject:.60}")
            for subject, given in settings.certificates.items()
            if given.tenant == tenant
        },
        users={
            _uid(name, f"{named['users']}.{name:.60}"): _assigned(given, roles, f"{named['users']}.{name:.60}")
            for name, given in settings.users.items()
            if given.tenant == tenant
        },
        trusted_proxies=proxies,
    )


def roles_of(settings: Settings, named: Mapping[str, str]) -> dict[str, Role]:
    """Return all roles by name: the built-in ones, and those of the settings, which go before them.

    Raises:
        InvalidParameter: one has a verb that there is not, or a rate that is none.
    """
    for name, role in settings.roles.items():
        place = f"{named['roles']}.{name:.60}"
        for verb in (*role.verbs, *role.per_second):
            if verb not in VERBS:
                raise InvalidParameter(place, f"verbs are {', '.join(VERBS)}, got {verb!r:.40}")
        rates = [*role.per_second.values(), role.bytes_per_second, role.events_per_second]
        if any(rate is not None and rate <= 0 for rate in rates):
            raise InvalidParameter(place, "a rate must be above 0; leave the verb out to allow none of it")
    return {**ROLES, **settings.roles}


def _assigned(given: Given, roles: Mapping[str, Role], place: str) -> Assigned:
    try:
        role_of(given.role, roles)
    except InvalidParameter as error:
        raise InvalidParameter(f"{place}.role", error.problem) from error
    if not given.topics:
        raise InvalidParameter(f"{place}.topics", 'must name at least one topic; "/" is everything')
    topics = [parse_topic(text, f"{place}.topics[{number}]") for number, text in enumerate(given.topics)]
    return Assigned(given.role, tuple(topics))


def _uid(name: str, place: str) -> int:
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as error:
        raise InvalidParameter(place, "there is no user of this name on this machine") from error

"""Values of members named like secrets, masked. Pure, and quick where there are none: it runs for each event."""

from __future__ import annotations

import re
from typing import Any, Final

from audit.model.event import MAX_DATA_DEPTH

__all__ = ["MASK", "Secrets", "is_secret_name"]

MASK: Final = "[masked]"
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_LAST: Final = frozenset({"password", "passwd", "passphrase", "secret", "token", "authorization"})
_LAST_TWO: Final = frozenset({("api", "key"), ("private", "key"), ("secret", "key"), ("set", "cookie")})
_NESTED: Final = frozenset({dict, list, tuple})
_MOST_NAMES: Final = 10_000


def is_secret_name(name: str) -> bool:
    """Return whether a member is named like a secret, such as `password`, `access_token`, `clientSecret`, `X-Api-Key`.

    The last word counts, so that `token_count` and `secretName` are none.
    """
    words = tuple(word.lower() for word in _WORDS.findall(name))
    return bool(words) and (words[-1] in _LAST or words[-2:] in _LAST_TWO)


class Secrets:
    """Masks secrets. Any thread may use it."""

    def __init__(self) -> None:
        self._plain: set[str] = set()
        """Names that are known to be none of secrets; most events have the same few."""

    def absent(self, value: Any) -> bool:
        """Return whether there is certainly no secret in a value, as for most; quicker than to look for one."""
        if value is None:
            return True
        if type(value) is not dict or not self._plain.issuperset(value):
            return False
        for member in value.values():  # noqa: SIM110 - a generator costs as much again
            if type(member) in _NESTED:
                return False
        return True

    def masked(self, value: Any, path: str, done: dict[str, None], depth: int = 0) -> Any:
        """Return a value with what is named like a secret masked; itself when there is none.

        Args:
            value: JSON, or what will be refused as none.
            path: What to call it.
            done: Gets an entry for each member that was masked.
            depth: Levels above it; beyond those that an event may have, nothing is looked at.
        """
        kind = type(value)
        if kind is dict:
            return self._dict(value, path, done, depth)
        if kind not in _NESTED or depth > MAX_DATA_DEPTH:
            return value
        found = [self.masked(one, path, done, depth + 1) for one in value]
        return found if any(new is not old for new, old in zip(found, value, strict=True)) else value

    def _dict(self, value: dict[str, Any], path: str, done: dict[str, None], depth: int) -> dict[str, Any]:
        changed: dict[str, Any] | None = None
        plain = self._plain
        for name, member in value.items():
            kind = type(member)
            if name in plain and kind not in _NESTED:
                continue
            if depth > MAX_DATA_DEPTH:
                break
            new = self._member(name, member, path, done, depth)
            if new is not member:
                changed = dict(value) if changed is None else changed
                changed[name] = new
        return value if changed is None else changed

    def _member(self, name: Any, member: Any, path: str, done: dict[str, None], depth: int) -> Any:
        if type(name) is not str:
            return member
        secret = name not in self._plain and is_secret_name(name)
        if secret and type(member) is not dict:
            # That there is one may be said, and what it is not.
            if member is None or type(member) is bool or member == MASK:
                return member
            done[f"{path}.{name}:mask"] = None
            return MASK
        if not secret and len(self._plain) < _MOST_NAMES:
            self._plain.add(name)
        return self.masked(member, f"{path}.{name}", done, depth + 1)

"""Which scheme judges a request: by the setting, and by the look of its token.

A scheme is loaded when a token of its kind first arrives, so that a function pays for what it uses.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from chalicelib.core.errors import Unauthorized
from chalicelib.core.security.caller import ANONYMOUS_ADMIN, Caller
from chalicelib.ports.identity import Authenticator, Credentials, TokenAuthenticator

OFF: Final = "off"
JWT: Final = "jwt"
API_KEY: Final = "apikey"
KEY_PREFIX: Final = "cw_"
HEADER_MAX_CHARS: Final = 8 * 1024 + len("Bearer ")

_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9._~+/=-]+)", re.IGNORECASE | re.ASCII)


class Open:
    """While authentication is off every caller is an administrator, and that is said here alone."""

    def authenticate(self, _credentials: Credentials) -> Caller:
        return ANONYMOUS_ADMIN

    def is_open(self) -> bool:
        return True

    def still_holds(self, _caller: Caller) -> bool:
        return True


class OneKey(Protocol):
    """A single key that no table holds (``bootstrap_key``)."""

    def judge(self, token: str) -> Caller | None:
        """Who asks with this token; None when it is another one."""
        ...

    def made(self, caller: Caller) -> bool:
        """Whether the caller came with it."""
        ...


class Bearers:
    """Bearer tokens (RFC 6750) of the kinds in ``makers``, and ``one_key``. Without kinds, every request is refused."""

    def __init__(self, makers: Mapping[str, Callable[[], TokenAuthenticator]], one_key: OneKey | None = None) -> None:
        self._makers = dict(makers)
        self._one_key = one_key
        self._made: dict[str, TokenAuthenticator] = {}
        self._lock = threading.Lock()

    def authenticate(self, credentials: Credentials) -> Caller:
        """As the port. Raises Unauthorized."""
        if not self._makers or not credentials.authorization:
            raise Unauthorized("credentials are needed: send Authorization: Bearer and a token")
        if len(credentials.authorization) > HEADER_MAX_CHARS:
            raise Unauthorized("the token is longer than 8 KiB", invalid_token=True)
        caller = self._by_one_key(credentials.authorization)
        if caller is not None:
            return caller
        found = _BEARER.fullmatch(credentials.authorization.strip())
        if found is None:
            raise Unauthorized("the Authorization header is not Bearer and one token")
        token = found[1]
        kind = API_KEY if token.startswith(KEY_PREFIX) else JWT
        if kind not in self._makers:
            known = "API keys" if kind == JWT else "JSON Web Tokens"
            raise Unauthorized(f"this deployment takes {known} only", invalid_token=True)
        return self._scheme(kind).authenticate(token, credentials.source_ip)

    def is_open(self) -> bool:
        """As the port."""
        return bool(self._makers)

    def still_holds(self, caller: Caller) -> bool:
        """As the port."""
        if self._one_key is not None and self._one_key.made(caller):
            return True
        kind = API_KEY if caller.credential.startswith("key:") else JWT
        return kind in self._makers and self._scheme(kind).still_holds(caller)

    def _by_one_key(self, authorization: str) -> Caller | None:
        scheme, _, token = authorization.strip().partition(" ")
        if self._one_key is None or scheme.lower() != "bearer":
            return None
        return self._one_key.judge(token.strip())

    def _scheme(self, kind: str) -> TokenAuthenticator:
        found = self._made.get(kind)
        if found is not None:
            return found
        with self._lock:
            if kind not in self._made:
                self._made[kind] = self._makers[kind]()
            return self._made[kind]


def choose(
    auth: str, makers: Mapping[str, Callable[[], TokenAuthenticator]], one_key: OneKey | None = None
) -> Authenticator:
    """What CHRONO_AUTH names: ``off``, ``deny``, or a list of kinds of token, which ``makers`` makes. ``one_key`` is
    taken where API keys are."""
    if auth == OFF:
        return Open()
    chosen = auth.split(",")
    kinds = {kind: make for kind, make in makers.items() if kind in chosen}
    return Bearers(kinds, one_key if API_KEY in kinds else None)

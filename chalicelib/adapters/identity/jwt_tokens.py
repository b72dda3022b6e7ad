"""JSON Web Tokens of the deployment's issuer.

``core.security.json_web_token`` judges what they say, joserfc their signatures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from joserfc import jwk
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from chalicelib.adapters.http.fetch import Fetcher
from chalicelib.adapters.identity.identity_parts import IdentityParts
from chalicelib.adapters.identity.jwks import DOCUMENT_MAX_BYTES, FETCH_TIMEOUT_S, KEYS_MAX_COUNT, KeySet
from chalicelib.core.errors import ChronoError
from chalicelib.core.security import json_web_token
from chalicelib.core.security.caller import Caller, caller_of
from chalicelib.core.security.json_web_token import SplitToken
from chalicelib.core.security.jwt_settings import JwtSettings
from chalicelib.core.security.permissions import ROLES, Role

log = logging.getLogger("chronowatch.identity")

CREDENTIAL: Final = "jwt"
_EDWARDS: Final = {"EdDSA": "Ed25519"}  # the old name leaves the curve open (RFC 9864); ours is fixed
_PUBLIC: Final = ("kty", "n", "e", "crv", "x", "y")


class JwtAuthenticator:
    """Takes tokens that the issuer signed for this service."""

    def __init__(
        self,
        settings: JwtSettings,
        keys: KeySet,
        now_ms: Callable[[], int],
        custom_roles: Callable[[str], Mapping[str, Role]],
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._now_ms = now_ms
        self._custom_roles = custom_roles

    def authenticate(self, token: str, _source_ip: str | None) -> Caller:
        """Who a token is from. Raises Unauthorized, and Unavailable while the issuer's keys are not known."""
        parts = json_web_token.split(token)
        self._check_signature(parts)
        found = json_web_token.identity(parts.payload, self._settings, self._now_ms())
        return self._caller(found.tenant, found.subject, found.roles, found.expires_at_ms)

    def _caller(self, tenant: str, subject: str, roles: Iterable[str], expires_at_ms: int | None) -> Caller:
        names = set(roles)
        own = self._custom_roles(tenant) if names - ROLES.keys() else {}  # built-in roles only cost no read
        return caller_of(tenant, subject, names, own, credential=CREDENTIAL, expires_at_ms=expires_at_ms)

    def _check_signature(self, parts: SplitToken) -> None:
        candidates = self._keys.find(parts.alg, parts.kid)
        if parts.kid is None and not _is_signed_by_one(candidates, parts) and self._keys.ask_anew():
            candidates = self._keys.find(parts.alg, None)  # a token that names no key may be the first of a new one
        if not candidates:
            raise json_web_token.refused("the token's key is not one of the issuer's for its alg")
        if not _is_signed_by_one(candidates, parts):
            raise json_web_token.refused("the token's signature is wrong")

    def still_holds(self, caller: Caller) -> bool:
        """Until it expires, and while its tenant's own roles grant what they did. Leeway is for clocks that differ when
        it is shown, not for keeping anything open."""
        if caller.expires_at_ms is None or self._now_ms() >= caller.expires_at_ms:
            return False
        if not caller.roles - ROLES.keys():
            return True
        try:
            now = self._caller(caller.tenant, caller.subject, caller.roles, caller.expires_at_ms)
        except ChronoError:
            return False
        return now.has_all_of(caller)


def make(parts: IdentityParts) -> JwtAuthenticator:
    """The scheme of a process."""
    assert parts.jwt is not None, "CHRONO_AUTH names jwt"
    fetcher = Fetcher(parts.monotonic_s, timeout_s=FETCH_TIMEOUT_S, max_bytes=DOCUMENT_MAX_BYTES)
    keys = KeySet(parts.jwt.issuer, parts.jwt.jwks_url, fetcher.get, parts.monotonic_s)
    return JwtAuthenticator(parts.jwt, keys, parts.now_ms, parts.custom_roles)


def _is_signed_by_one(candidates: Sequence[Mapping[str, Any]], parts: SplitToken) -> bool:
    return any(_is_signed_by(candidate, parts) for candidate in candidates)


@lru_cache(maxsize=KEYS_MAX_COUNT)
def _public_key(fields: tuple[tuple[str, str], ...]) -> Any:
    """A key that joserfc can use. Only what makes the public one: a private part that an issuer publishes by mistake
    stays unread."""
    return jwk.import_key(dict(fields))


def _is_signed_by(candidate: Mapping[str, Any], parts: SplitToken) -> bool:
    """Whether the key made the signature. A key that joserfc cannot take made none."""
    algorithm = JWSRegistry.algorithms[_EDWARDS.get(parts.alg, parts.alg)]
    try:
        key = _public_key(tuple((name, candidate[name]) for name in _PUBLIC if name in candidate))
        algorithm.check_key(key)
        return algorithm.verify(parts.signed, parts.signature, key)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        log.warning("a key of the tokens' issuer cannot be used: %s", type(error).__name__)
        return False

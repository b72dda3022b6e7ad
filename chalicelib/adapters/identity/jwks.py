"""The keys that an issuer signs with (RFC 7517), fetched and remembered.

A library's own client fetches anew for every unknown ``kid``, so that any caller could have the issuer asked as often
as they like. Here an unknown one has the keys fetched once in UNKNOWN_S, by one thread for all. Keys are good for
FRESH_S, and, while the issuer does not answer, for STALE_S more.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from chalicelib.core.errors import Unavailable
from chalicelib.core.security import json_web_token
from chalicelib.core.security.jwt_settings import discovery_url, url_problem

log = logging.getLogger("chronowatch.identity")

FRESH_S: Final = 300.0
STALE_S: Final = 3600.0
UNKNOWN_S: Final = 30.0
RETRY_S: Final = 2.0  # after a failed fetch, as long as there is no key at all
KEYS_MAX_COUNT: Final = 100
DOCUMENT_MAX_BYTES: Final = 128 * 1024
FETCH_TIMEOUT_S: Final = 5.0

Jwk = Mapping[str, Any]
Get = Callable[[str, str], bytes]


class KeySet:
    """An issuer's keys. ``get`` fetches a document by URL and media type, and raises Unavailable."""

    def __init__(self, issuer: str, jwks_url: str | None, get: Get, monotonic_s: Callable[[], float]) -> None:
        self._issuer = issuer
        self._given_url = jwks_url
        self._found_url = jwks_url
        self._get = get
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._keys: tuple[Jwk, ...] = ()
        self._fetched_s: float | None = None
        self._tried_s: float | None = None
        self._unknown_s: float | None = None

    def find(self, alg: str, kid: str | None) -> list[Jwk]:
        """The keys that may have signed with ``alg`` under ``kid`` (None: under any). Raises Unavailable."""
        if not self._is_fresh():
            self._refresh(kid)
        if kid is not None and not self._knows(kid):
            self.ask_anew(kid)
        return [k for k in self._keys if kid in (None, k.get("kid")) and json_web_token.fits(k, alg)]

    def ask_anew(self, kid: str | None = None) -> bool:
        """Fetch the keys for a token whose key is not known, once in UNKNOWN_S. False: not now, or to no avail."""
        if not self._may_ask_for_unknown():
            return False
        with self._lock:
            if kid is not None and self._knows(kid):
                return True  # another thread fetched it meanwhile
            if not self._may_ask_for_unknown():
                return False
            self._unknown_s = self._monotonic_s()
            return self._fetch()

    def _knows(self, kid: str) -> bool:
        return any(key.get("kid") == kid for key in self._keys)

    def _is_fresh(self) -> bool:
        return self._fetched_s is not None and self._monotonic_s() - self._fetched_s < FRESH_S

    def _may_ask_for_unknown(self) -> bool:
        return self._unknown_s is None or self._monotonic_s() - self._unknown_s >= UNKNOWN_S

    def _refresh(self, kid: str | None) -> None:
        """Fetch once the keys are old. While there are old ones, one thread fetches and the others use them."""
        usable = self._is_usable()
        if not self._lock.acquire(blocking=not usable):
            return
        try:
            if self._is_fresh():
                return  # another thread fetched them meanwhile
            wait_s = UNKNOWN_S if usable else RETRY_S
            if self._tried_s is None or self._monotonic_s() - self._tried_s >= wait_s:
                self._fetch()
                if kid is not None and not self._knows(kid):
                    self._unknown_s = self._monotonic_s()  # this fetch was for it, too
        finally:
            self._lock.release()
        if not self._is_usable():
            raise Unavailable("the keys of the tokens' issuer cannot be fetched", code="issuer_unavailable")

    def _is_usable(self) -> bool:
        return self._fetched_s is not None and self._monotonic_s() - self._fetched_s < FRESH_S + STALE_S

    def _fetch(self) -> bool:
        """Ask the issuer. What fails leaves the keys as they are, and is logged."""
        self._tried_s = self._monotonic_s()
        try:
            keys = _keys_of(self._get(self._url(), "application/jwk-set+json, application/json"))
        except (Unavailable, ValueError, RecursionError) as error:
            self._found_url = self._given_url  # the issuer may have moved them: discover anew
            log.warning("the keys of the tokens' issuer could not be fetched: %s", error)
            return False
        self._keys, self._fetched_s = keys, self._monotonic_s()
        return True

    def _url(self) -> str:
        """Where the keys are. Raises Unavailable, ValueError."""
        if self._found_url is None:
            described = json.loads(self._get(discovery_url(self._issuer), "application/json"))
            if not isinstance(described, dict) or described.get("issuer") != self._issuer:
                raise ValueError("the discovery document is not of this issuer")
            url = described.get("jwks_uri")
            if not isinstance(url, str):
                raise ValueError("the discovery document has no jwks_uri")
            problem = url_problem(url)
            if problem is not None:
                raise ValueError(f"its jwks_uri {problem}")
            self._found_url = url
        return self._found_url


def _keys_of(document: bytes) -> tuple[Jwk, ...]:
    """The keys of a JWK set. Raises ValueError."""
    found = json.loads(document)
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list):
        raise ValueError("the document is no set of keys")
    if len(keys) > KEYS_MAX_COUNT:
        raise ValueError(f"the document has more than {KEYS_MAX_COUNT} keys")
    return tuple(key for key in keys if isinstance(key, dict))

"""API keys as credentials: one read of a key, remembered for KEY_FRESH_MS.

A wrong checksum costs no read. An unknown id and a wrong secret cost the same: one read, one hash, one comparison in
constant time, and the same answer. Revoking, rotating and expiry hold within KEY_ENDS_WITHIN_MS in every process: while
the table cannot be read, what was read last counts for KEY_STALE_MAX_MS at most.
"""

from __future__ import annotations

import contextlib
from typing import Final

from msgspec.structs import replace

from chalicelib.adapters.identity.identity_parts import IdentityParts
from chalicelib.core.errors import ChronoError, Unauthorized, Unavailable
from chalicelib.core.keys import key_text
from chalicelib.core.keys.key_caller import caller_with, id_of_key
from chalicelib.core.keys.limits import KEY_FRESH_MS, KEY_STALE_MAX_MS, KEY_USED_EVERY_MS
from chalicelib.core.keys.seen_key import SeenKey
from chalicelib.core.security.caller import Caller
from chalicelib.core.security.permissions import ROLES

_NO_HASH: Final = "0" * 64  # what the secret of an unknown id is compared with, for as long as any other


class ApiKeyAuthenticator:
    """``TokenAuthenticator`` of stored keys; any number of threads may call it."""

    def __init__(self, parts: IdentityParts) -> None:
        self._store = parts.stores.keys
        self._notes = parts.key_notes
        self._now_ms = parts.now_ms
        self._custom_roles = parts.custom_roles

    def authenticate(self, token: str, source_ip: str | None) -> Caller:
        """Who asks. Raises Unauthorized, Unavailable."""
        key_id = key_text.id_in(token)
        if key_id is None:
            raise Unauthorized("this is no API key: its form or its checksum is wrong", invalid_token=True)
        now_ms = self._now_ms()
        seen = self._look_up(key_id, now_ms)
        key = seen.key
        is_same = key_text.is_same(token, _NO_HASH if key is None else key.sha256)
        if key is None or not is_same or not key.is_live(now_ms) or not key.admits(source_ip):
            raise Unauthorized("the API key is unknown, has ended or is not for this address", invalid_token=True)
        self._note_use(key_id, seen, now_ms)
        return caller_with(key, self._custom_roles(key.tenant))

    def still_holds(self, caller: Caller) -> bool:
        """Whether the key that a caller came with is still good, and its tenant's own roles grant what they did.
        What is not known for too long is not."""
        key_id, now_ms = id_of_key(caller), self._now_ms()
        if key_id is None:
            return False
        try:
            key = self._look_up(key_id, now_ms).key
            if key is None or key.tenant != caller.tenant or not key.is_live(now_ms):
                return False
            return caller.roles <= ROLES.keys() or caller_with(key, self._custom_roles(key.tenant)).has_all_of(caller)
        except ChronoError:
            return False

    def _look_up(self, key_id: str, now_ms: int) -> SeenKey:
        """What is stored of an id, as of now or lately. Raises Unavailable."""
        seen = self._notes.find(key_id)
        if seen is not None and seen.is_younger(now_ms, KEY_FRESH_MS):
            return seen
        try:
            kept = self._store.load(key_id)
        except Unavailable:
            if seen is not None and seen.is_younger(now_ms, KEY_STALE_MAX_MS):
                return seen
            raise
        seen = SeenKey(None, None, now_ms) if kept is None else SeenKey(kept.key, kept.used_ms, now_ms)
        self._notes.keep(key_id, seen)
        return seen

    def _note_use(self, key_id: str, seen: SeenKey, now_ms: int) -> None:
        """Write down a use that is the first in a minute. A failure refuses no caller: the next use is written."""
        if seen.used_ms is not None and now_ms - seen.used_ms < KEY_USED_EVERY_MS:
            return
        self._notes.keep(key_id, replace(seen, used_ms=now_ms))  # first, so that no other thread writes it too
        with contextlib.suppress(ChronoError):
            self._store.mark_used(key_id, now_ms, now_ms - KEY_USED_EVERY_MS)


def make(parts: IdentityParts) -> ApiKeyAuthenticator:
    """The scheme, as ``chain`` asks for it."""
    return ApiKeyAuthenticator(parts)

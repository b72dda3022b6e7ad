"""All keys of a tenant, a short entry each: every change of them is one conditional write of this ring.

So two admins at once cannot each delete what they believe to be the last but one admin key. ``decide_*`` says what to
write: the ring at its next rev, the keys that are new or changed, and those to remove. On a lost race the caller reads
and decides again. What the decisions uphold:

- While a live admin key is in the ring, a deletion leaves one, unless another admin credential is known of.
- A key that has ended never lives again: its end only ever comes nearer.
- There are at most KEYS_MAX keys; those that ended KEY_KEPT_MS ago go with the next changes.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.decoders import decoder_of
from chalicelib.core.errors import Conflict
from chalicelib.core.keys.api_key import ApiKey
from chalicelib.core.keys.limits import KEY_KEPT_MS, KEYS_CLEARED_MAX, KEYS_MAX


class RingEntry(Struct, frozen=True, array_like=True):
    """What a decision needs of a key. ``created_ms`` and ``id`` give the order of lists."""

    id: str
    created_ms: int
    admin: bool
    expires_ms: int | None = None

    def is_live(self, now_ms: int) -> bool:
        """Whether the key has not ended."""
        return self.expires_ms is None or now_ms < self.expires_ms


class KeyRing(Struct, frozen=True):
    """The entries of a tenant, oldest first; rev 0: there never was a key."""

    tenant: str
    rev: int = 0
    entries: tuple[RingEntry, ...] = ()
    hlc: str = ""
    origin: str = ""


class RingChange(Struct, frozen=True):
    """What one change writes, all together: ``made`` are new keys, ``edited`` those that are there."""

    ring: KeyRing
    made: tuple[ApiKey, ...] = ()
    edited: tuple[ApiKey, ...] = ()
    removed: tuple[str, ...] = ()


def decide_create(ring: KeyRing, key: ApiKey, now_ms: int) -> RingChange:
    """Add a key. Raises Conflict (``too_many_keys``)."""
    cleared = _cleared(ring, now_ms)
    if len(ring.entries) - len(cleared) >= KEYS_MAX:
        raise Conflict(f"this tenant has {KEYS_MAX} keys; delete some first", code="too_many_keys")
    entries = [*_without(ring, cleared), _entry(key)]
    return RingChange(_next(ring, entries), made=(key,), removed=cleared)


def decide_rotate(ring: KeyRing, old: ApiKey, new: ApiKey, ends_ms: int, now_ms: int) -> RingChange:
    """Add the key that takes the place of ``old``, which ends at ``ends_ms``, or earlier if it would have.

    Raises Conflict: ``key_ended`` when the old one has ended, ``too_many_keys``.
    """
    if not old.is_live(now_ms):
        raise Conflict(f"the key {old.id} has ended; make another", code="key_ended")
    ends_ms = ends_ms if old.expires_at_unix_ms is None else min(ends_ms, old.expires_at_unix_ms)
    ended = replace(old, expires_at_unix_ms=ends_ms)
    added = decide_create(ring, new, now_ms)
    entries = [_entry(ended) if entry.id == old.id else entry for entry in added.ring.entries]
    return replace(added, ring=replace(added.ring, entries=tuple(entries)), edited=(ended,))


def decide_delete(ring: KeyRing, key_id: str, now_ms: int, admin_elsewhere: bool) -> RingChange:
    """Remove a key. ``admin_elsewhere``: an admin credential that is no key of this ring is known to exist.

    Raises Conflict (``last_admin_key``) for the only live admin key where none is.
    """
    admins = [entry.id for entry in ring.entries if entry.admin and entry.is_live(now_ms)]
    if admins == [key_id] and not admin_elsewhere:
        raise Conflict("this is the last admin key; make another one first", code="last_admin_key")
    return decide_revoke(ring, key_id, now_ms)


def decide_revoke(ring: KeyRing, key_id: str, now_ms: int) -> RingChange:
    """Remove a key that is known to others: better no admin key at all than that one."""
    removed = (*_cleared(ring, now_ms, but=key_id), key_id)
    return RingChange(_next(ring, _without(ring, removed)), removed=removed)


def page(ring: KeyRing, limit: int, after: str | None) -> tuple[list[str], str | None]:
    """Ids, newest key first, and the position to go on after (None: the end)."""
    entries = sorted(ring.entries, key=_position, reverse=True)
    found = [entry for entry in entries if after is None or _position(entry) < after]
    more = len(found) > limit
    return [entry.id for entry in found[:limit]], _position(found[limit - 1]) if more else None


def _position(entry: RingEntry) -> str:
    return f"{entry.created_ms:015d}{entry.id}"


def _entry(key: ApiKey) -> RingEntry:
    return RingEntry(key.id, key.created_at_unix_ms, key.is_admin, key.expires_at_unix_ms)


def _cleared(ring: KeyRing, now_ms: int, but: str = "") -> tuple[str, ...]:
    """Those that ended long ago; so many that the change stays small."""
    ended = [e for e in ring.entries if not e.is_live(now_ms - KEY_KEPT_MS) and e.id != but]
    return tuple(entry.id for entry in ended[:KEYS_CLEARED_MAX])


def _without(ring: KeyRing, ids: Iterable[str]) -> list[RingEntry]:
    return [entry for entry in ring.entries if entry.id not in set(ids)]


def _next(ring: KeyRing, entries: Iterable[RingEntry]) -> KeyRing:
    return replace(ring, rev=ring.rev + 1, entries=tuple(entries))


_encode = msgspec.json.Encoder().encode
_decode = decoder_of(KeyRing).decode


def write(ring: KeyRing) -> str:
    """The document of a ring; ``read`` gives back an equal one."""
    return _encode(ring).decode()


def read(document: str) -> KeyRing:
    """The ring of a document. Raises ValueError when the text is not such a document."""
    return _decode(document)

"""API keys: made, listed, rotated, deleted. Each change is one decision of core.keys.key_ring and one write.

The text of a key exists in the answer to the call that made it, and nowhere else. It is drawn at random. It is not
stored, and follows from nothing that is.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.errors import (
    ChronoError,
    FieldError,
    Forbidden,
    InvalidField,
    NotFound,
    PreconditionFailed,
    TooMany,
)
from chalicelib.core.keys import key_ring, key_text
from chalicelib.core.keys.api_key import ApiKey
from chalicelib.core.keys.key_caller import caller_with, id_of_key
from chalicelib.core.keys.key_requests import KeyRequest, end_problems, overlap_problems
from chalicelib.core.keys.key_ring import KeyRing, RingChange
from chalicelib.core.keys.limits import LEAKED_TOKENS_MAX
from chalicelib.core.security.authorize import authorize, authorize_owner
from chalicelib.core.security.caller import DEFAULT_TENANT, SERVICE_SUBJECT, Caller, system_caller
from chalicelib.core.security.permissions import ADMIN, ROLES
from chalicelib.ports.services import Services
from chalicelib.ports.stores.keys import KeptKey
from chalicelib.usecases import roles
from chalicelib.usecases.idempotency import RepeatableCall

log = logging.getLogger("chronowatch.keys")

CHANGE_ATTEMPTS = 32
FIRST_KEY_NAME = "first admin key"


class NewKey(Struct, frozen=True, kw_only=True):
    """The key to make. Without ``owner`` it is the caller's, without roles and permissions a user's."""

    name: str
    owner: str | None = None
    roles: tuple[str, ...] | None = None
    permissions: tuple[str, ...] | None = None
    expires_at_unix_ms: int | None = None
    cidrs: tuple[str, ...] | None = None


class Rotation(Struct, frozen=True, kw_only=True):
    """How to rotate. The new key ends when the old one would have, unless ``expires_at_unix_ms`` says when."""

    overlap_ms: int = 0
    expires_at_unix_ms: int | None = None


class MadeKey(Struct, frozen=True):
    """A new key, and its text; None where an earlier run of the same call made it, and its answer was lost."""

    key: ApiKey
    text: str | None


class JudgedToken(Struct, frozen=True):
    """What became of one reported token, by its hash: it was a key of ours, and is none any more; or it never was."""

    token_hash: str
    was_key: bool


Decide = Callable[[KeyRing, ApiKey, int], RingChange]


def create(s: Services, caller: Caller, wanted: NewKey, run: RepeatableCall | None = None) -> MadeKey:
    """Make a key. Raises InvalidField, Forbidden for more than the caller has, Conflict (``too_many_keys``)."""
    authorize(caller, "keys:write")
    now_ms = s.clock.now_ms()
    custom_roles = roles.granted_by(s, caller.tenant)
    request = KeyRequest(
        name=wanted.name,
        owner=caller.subject if wanted.owner is None else wanted.owner,
        known_roles=frozenset(ROLES) | frozenset(custom_roles),
        now_ms=now_ms,
        roles=wanted.roles,
        permissions=wanted.permissions,
        expires_at_unix_ms=wanted.expires_at_unix_ms,
        cidrs=wanted.cidrs,
    )
    authorize_owner(caller, request.owner)
    draft = ApiKey(
        tenant=caller.tenant,
        id="",
        name=request.name,
        owner=request.owner,
        sha256="",
        created_at_unix_ms=now_ms,
        created_by=caller.subject,
        created_with=caller.credential,
        roles=request.granted_roles,
        permissions=request.granted_permissions,
        expires_at_unix_ms=request.expires_at_unix_ms,
        cidrs=request.networks,
    )
    _authorize_grant(s, caller, draft)
    return _make(s, draft, run, key_ring.decide_create)


def rotate(
    s: Services,
    caller: Caller,
    key_id: str,
    wanted: Rotation,
    versions: Sequence[str] | None = None,
    run: RepeatableCall | None = None,
) -> MadeKey:
    """Make a key that takes the place of another, which ends after ``overlap_ms``.

    Raises InvalidField, Forbidden, NotFound, PreconditionFailed, Conflict (``key_ended``, ``too_many_keys``).
    """
    authorize(caller, "keys:write")
    now_ms = s.clock.now_ms()
    problems = [*overlap_problems(wanted.overlap_ms), *end_problems(wanted.expires_at_unix_ms, now_ms)]
    if problems:
        raise InvalidField(problems)
    old = _load(s, caller, key_id).key
    _authorize_grant(s, caller, old)
    draft = replace(
        old,
        id="",
        rev=1,
        sha256="",
        created_at_unix_ms=now_ms,
        created_by=caller.subject,
        created_with=caller.credential,
        expires_at_unix_ms=wanted.expires_at_unix_ms or old.expires_at_unix_ms,
        replaces=old.id,
    )

    def decide(ring: KeyRing, new: ApiKey, now_ms: int) -> RingChange:
        standing = _load(s, caller, key_id).key  # another may have rotated or deleted it meanwhile
        _check_version(standing, versions)
        return key_ring.decide_rotate(ring, standing, new, now_ms + wanted.overlap_ms, now_ms)

    return _make(s, draft, run, decide)


def get(s: Services, caller: Caller, key_id: str) -> KeptKey:
    """One key. Raises NotFound, also for another tenant's."""
    authorize(caller, "keys:read")
    return _load(s, caller, key_id)


def page(s: Services, caller: Caller, limit: int, after: str | None) -> tuple[list[KeptKey], str | None]:
    """A tenant's keys, newest first, and the position to go on after (None: the end)."""
    authorize(caller, "keys:read")
    ids, position = key_ring.page(s.stores.keys.ring(caller.tenant), limit, after)
    found = s.stores.keys.load_many(ids)
    return [found[key_id] for key_id in ids if key_id in found], position


def delete(s: Services, caller: Caller, key_id: str, versions: Sequence[str] | None = None) -> None:
    """End a key at once. Raises NotFound, PreconditionFailed, Conflict (``last_admin_key``)."""
    authorize(caller, "keys:write")
    admin_elsewhere = _has_other_admin(s, caller)
    for _ in range(CHANGE_ATTEMPTS):
        ring = s.stores.keys.ring(caller.tenant)
        _check_version(_load(s, caller, key_id).key, versions)
        if _write(s, key_ring.decide_delete(ring, key_id, s.clock.now_ms(), admin_elsewhere)):
            return
    raise _contended()


def report_leaked(s: Services, tokens: Sequence[str]) -> list[JudgedToken]:
    """Revoke the keys among ``tokens``. A caller that knows a key may end it: that is all the proof there can be.

    It needs no credentials, so it is bounded. Raises InvalidField, TooMany.
    """
    if not 1 <= len(tokens) <= LEAKED_TOKENS_MAX:
        raise InvalidField([FieldError("body", f"must be a list of 1 to {LEAKED_TOKENS_MAX} tokens")])
    ids = [key_text.id_in(token) for token in tokens]
    wait_s = s.process.leak_reports.spend(sum(1 for key_id in ids if key_id), s.clock.now_ms())
    if wait_s:
        raise TooMany("this server has judged as many reports as it may in a minute", retry_after_s=wait_s)
    return [
        JudgedToken(_token_hash(token), key_id is not None and _revoke_leaked(s, key_id, token))
        for token, key_id in zip(tokens, ids, strict=True)
    ]


def first_key(s: Services) -> MadeKey | None:
    """The first admin key of the default tenant; None where there ever was a key. Of many callers one gets it."""
    ring = s.stores.keys.ring(DEFAULT_TENANT)
    if ring.rev:
        return None
    caller = system_caller(DEFAULT_TENANT)
    draft = ApiKey(
        tenant=DEFAULT_TENANT,
        id="",
        name=FIRST_KEY_NAME,
        owner=ADMIN,
        sha256="",
        created_at_unix_ms=s.clock.now_ms(),
        created_by=SERVICE_SUBJECT,
        created_with=caller.credential,
        roles=(ADMIN,),
    )
    made, text = _with_text(s, draft, s.ids.ulid(s.clock.now_ms()), 0)
    change = key_ring.decide_create(ring, made, s.clock.now_ms())
    return MadeKey(made, text) if _write_on_record(s, caller, "keys:create", made.id, change) else None


def version_of(key: ApiKey) -> str:
    """What names this form of a key: every change makes another."""
    return str(key.rev)


def _make(s: Services, draft: ApiKey, run: RepeatableCall | None, decide: Decide) -> MadeKey:
    """Give the draft an id and a text, and write it; find what an earlier run of the same call made."""
    seed = s.ids.ulid(s.clock.now_ms()) if run is None else run.seed
    number = 0
    for _ in range(CHANGE_ATTEMPTS):
        made, text = _with_text(s, draft, seed, number)
        standing = s.stores.keys.load(made.id)
        if standing is not None and (standing.key.tenant, standing.key.request) == (made.tenant, made.request):
            return MadeKey(standing.key, None)
        if standing is not None:
            number += 1  # another key has this id, among 218 million millions
            continue
        if _write(s, decide(s.stores.keys.ring(draft.tenant), made, s.clock.now_ms())):
            return MadeKey(made, text)
    raise _contended()


def _with_text(s: Services, draft: ApiKey, seed: str, number: int) -> tuple[ApiKey, str]:
    """The key with an id that follows from ``seed``, and its text, which follows from nothing."""
    key_id = key_text.derived_id(seed, number)
    text = key_text.compose(key_id, s.ids.secret_bits())
    return replace(draft, id=key_id, sha256=key_text.sha256(text), request=key_text.sha256(seed)), text


def _write(s: Services, change: RingChange) -> bool:
    """Write a change with the stamps that every stored item has; what this process remembers of the keys is old."""
    stamp = {"hlc": s.ids.hlc(), "origin": s.config.origin}
    stamped = replace(
        change,
        ring=replace(change.ring, **stamp),
        made=tuple(replace(key, **stamp) for key in change.made),
        edited=tuple(replace(key, rev=key.rev + 1, **stamp) for key in change.edited),
    )
    try:
        return s.stores.keys.change(stamped)
    finally:
        for key_id in (*(key.id for key in (*change.made, *change.edited)), *change.removed):
            s.process.keys.forget(key_id)


def _load(s: Services, caller: Caller, key_id: str) -> KeptKey:
    """A key of the caller's tenant. Raises NotFound, also for what can be no id."""
    found = s.stores.keys.load(key_id) if key_text.is_id(key_id) else None
    if found is None or found.key.tenant != caller.tenant:
        raise NotFound(f"there is no key {key_id}")
    return found


def _check_version(key: ApiKey, versions: Sequence[str] | None) -> None:
    if versions is not None and version_of(key) not in versions:
        raise PreconditionFailed("the key has another version")


def _authorize_grant(s: Services, caller: Caller, key: ApiKey) -> None:
    """Refuse a key that could do more than the caller: else who may make keys could do everything."""
    made = caller_with(key, roles.granted_by(s, caller.tenant))
    more = (made.permissions - caller.permissions) | (made.on_every_owner - caller.on_every_owner)
    if more or (made.is_admin and not caller.is_admin):
        beyond = ", ".join(sorted(more)) or ADMIN
        raise Forbidden(f"a key can do no more than the caller that makes it, who may not: {beyond}")


def _has_other_admin(s: Services, caller: Caller) -> bool:
    """Whether an admin credential is known of beside the tenant's keys: the one that the caller came with, or the key
    of the settings. That others could sign in by JWT is not known: an admin who did may delete the last admin key."""
    if s.config.bootstrap_admin and caller.tenant == DEFAULT_TENANT:
        return True
    return caller.is_admin and id_of_key(caller) is None


def _revoke_leaked(s: Services, key_id: str, token: str) -> bool:
    """End the key that a token is the text of; whether there was one."""
    for _ in range(CHANGE_ATTEMPTS):
        found = s.stores.keys.load(key_id)
        if found is None or not key_text.is_same(token, found.key.sha256):
            return False
        ring = s.stores.keys.ring(found.key.tenant)
        change = key_ring.decide_revoke(ring, key_id, s.clock.now_ms())
        if _write_on_record(s, system_caller(found.key.tenant), "keys:report-leaked", key_id, change):
            log.warning("the API key %s of tenant %s was reported as leaked: it is deleted", key_id, found.key.tenant)
            return True
    raise _contended()


def _write_on_record(s: Services, caller: Caller, action: str, key_id: str, change: RingChange) -> bool:
    """``_write``, between intent and entry in the audit of the key's tenant: no call of that tenant has one."""
    from chalicelib.usecases import audit  # the API starts without it

    if not audit.is_on(s):
        return _write(s, change)
    act = audit.Act(action=action, permission="keys:write", resource=f"keys/{key_id}")
    intent = audit.begin(s, caller, act)
    try:
        written = _write(s, change)
    except ChronoError:
        audit.leave_unknown(s, intent, act)
        raise
    if written:
        audit.finish(s, intent, [act])
    else:
        audit.drop(s, intent)
    return written


def _token_hash(token: str) -> str:
    return base64.b64encode(hashlib.sha256(token.encode()).digest()).decode()


def _contended() -> TooMany:
    return TooMany("too many callers change the keys of this tenant at once", code="contended")

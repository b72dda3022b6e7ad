"""Monitors of jobs that others run: kept by their owners, pinged by all who have the token."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.errors import CapacityExhausted, PreconditionFailed, TooMany, Unavailable
from chalicelib.core.heartbeats import badge, heartbeat
from chalicelib.core.heartbeats.heartbeat import Heartbeat, Ping, PingKind
from chalicelib.core.heartbeats.limits import EXIT_CODE_MAX, MONITORS_MAX_COUNT, PING_TEXT_MAX_CHARS, UNTOLD_MAX
from chalicelib.core.limits import PAGE_MAX_ITEMS
from chalicelib.core.recurrence.expressions import RecurrenceType
from chalicelib.core.security.authorize import Resource, authorize, missing, only_owner
from chalicelib.core.security.caller import Caller
from chalicelib.engine import heartbeats
from chalicelib.ports.services import Services
from chalicelib.ports.stores.alerts import EVERYBODY, AlertRecord
from chalicelib.usecases.quotas import noting_full

_TOKEN: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_CODE: Final = re.compile(r"\d{1,3}", re.ASCII)
_TOKEN_REV: Final = 1

Permission = Literal["monitors:read", "monitors:write"]


class MonitorWish(Struct, frozen=True):
    """What a caller wants of a monitor; None: nothing is said."""

    name: str | None = None
    type: RecurrenceType | None = None
    expr: str | None = None
    timezone: str | None = None
    grace_ms: int | None = None
    tags: tuple[str, ...] | None = None


class PlacedToken(NamedTuple):
    """Whose a token is, and what it is for."""

    tenant: str
    monitor_id: str
    use: str


def create(s: Services, caller: Caller, wish: MonitorWish, monitor_id: str, again: bool = False) -> Heartbeat:
    """Make a monitor. ``again``: the same call ran before, so that what it made is found.

    Raises Forbidden, InvalidField, CapacityExhausted.
    """
    authorize(caller, "monitors:write")
    if again and (known := s.stores.alerts.load(caller.tenant, "monitor", monitor_id)) is not None:
        return heartbeats.read_record(known)
    now_ms = s.clock.now_ms()
    assert wish.name is not None and wish.type is not None  # noqa: PT018 -- the model requires them
    assert wish.expr is not None and wish.grace_ms is not None  # noqa: PT018
    zone = wish.timezone or s.config.default_timezone
    heartbeat.check(wish.name, wish.type, wish.expr, zone, now_ms)
    with noting_full(s, caller):
        _check_count(s, caller.tenant)
    made = Heartbeat(
        tenant=caller.tenant,
        id=monitor_id,
        version=s.ids.ulid(now_ms),
        name=wish.name,
        type=wish.type,
        expr=wish.expr,
        timezone=zone,
        grace_ms=wish.grace_ms,
        tags=wish.tags or (),
        owner=caller.subject,
        ping_token=_token(s),
        badge_token=_token(s),
        created_ms=now_ms,
        updated_ms=now_ms,
    )
    for token, use in (
        (made.ping_token, "ping"),
        (made.badge_token, "badge"),
    ):  # a token without a monitor harms nothing
        s.stores.alerts.save(AlertRecord(EVERYBODY, "token", token, f"{use} {made.id} {made.tenant}", _TOKEN_REV), 0)
    s.stores.alerts.save(heartbeats.record_of(made), 0)
    return made


def get(s: Services, caller: Caller, monitor_id: str, permission: Permission = "monitors:read") -> Heartbeat:
    """A monitor as of now. Raises Forbidden, NotFound."""
    authorize(caller, permission)
    found = heartbeats.load(s, caller.tenant, monitor_id)
    authorize(caller, permission, Resource(found.tenant, found.owner, "monitor"))
    return heartbeat.observe(found, s.clock.now_ms())


def page(
    s: Services, caller: Caller, tag: str | None, limit: int, after: str | None
) -> tuple[list[Heartbeat], str | None]:
    """The monitors that a caller may see, newest first, and where to go on (None: the end). A page may be short."""
    authorize(caller, "monitors:read")
    owner = only_owner(caller, "monitors:read")
    records, more = s.stores.alerts.page(caller.tenant, "monitor", limit, after)
    found = [heartbeat.observe(heartbeats.read_record(record), s.clock.now_ms()) for record in records]
    return [h for h in found if owner in (None, h.owner) and (tag is None or tag in h.tags)], more


def edit(s: Services, caller: Caller, monitor_id: str, wish: MonitorWish, versions: list[str] | None) -> Heartbeat:
    """Change some fields. Raises Forbidden, NotFound, InvalidField, PreconditionFailed."""
    _ours(s, caller, monitor_id, versions)
    version = s.ids.ulid(s.clock.now_ms())

    def decide(known: Heartbeat) -> Heartbeat:
        _check_version(known, versions)
        now_ms = s.clock.now_ms()  # of this try: pings may have come since the one before
        known = heartbeat.observe(known, now_ms)
        said = {name: value for name in wish.__struct_fields__ if (value := getattr(wish, name)) is not None}
        changed = replace(known, **said, version=version, updated_ms=now_ms, rev=known.rev + 1)
        heartbeat.check(changed.name, changed.type, changed.expr, changed.timezone, now_ms)
        moved = any(getattr(known, name) != getattr(changed, name) for name in ("type", "expr", "timezone"))
        return heartbeat.rescheduled(changed, now_ms) if moved else changed

    return heartbeats.change(s, caller.tenant, monitor_id, decide)


def pause(s: Services, caller: Caller, monitor_id: str, versions: list[str] | None) -> Heartbeat:
    """Expect nothing until it is resumed. Raises as ``edit``."""
    _ours(s, caller, monitor_id, versions)
    version = s.ids.ulid(s.clock.now_ms())

    def decide(known: Heartbeat) -> Heartbeat:
        _check_version(known, versions)
        return heartbeat.paused(known, version, s.clock.now_ms())

    return heartbeats.change(s, caller.tenant, monitor_id, decide)


def resume(s: Services, caller: Caller, monitor_id: str, versions: list[str] | None) -> Heartbeat:
    """Expect pings again. Raises as ``edit``."""
    _ours(s, caller, monitor_id, versions)
    version = s.ids.ulid(s.clock.now_ms())

    def decide(known: Heartbeat) -> Heartbeat:
        _check_version(known, versions)
        return heartbeat.resumed(known, version, s.clock.now_ms())

    return heartbeats.change(s, caller.tenant, monitor_id, decide)


def delete(s: Services, caller: Caller, monitor_id: str, versions: list[str] | None) -> None:
    """Delete a monitor; its tokens end with it. Raises as ``edit``."""
    for _ in range(heartbeats.WRITE_ATTEMPTS):
        known = _ours(s, caller, monitor_id, versions)
        stored = heartbeats.load(s, caller.tenant, monitor_id)
        _check_version(stored, versions)
        if s.stores.alerts.delete(caller.tenant, "monitor", monitor_id, stored.rev):
            for token in (known.ping_token, known.badge_token):
                s.stores.alerts.delete(EVERYBODY, "token", token, _TOKEN_REV)
            return
    raise TooMany("the monitor is being changed by many callers at once", code="contended")


def ping(s: Services, token: str, signal: str, text: str) -> None:
    """Take a ping. ``signal``: empty for a success, ``start``, ``fail``, ``log`` or an exit code. Raises NotFound."""
    kind, code = _kind_of(signal)
    place = _place(s, token, "ping")
    sign = Ping(kind, s.clock.now_ms(), code, text[:PING_TEXT_MAX_CHARS])

    def decide(known: Heartbeat) -> Heartbeat:
        if known.ping_token != token:
            raise missing("monitor with this token")
        if len(known.untold) >= UNTOLD_MAX:
            raise Unavailable("the monitor goes up and down faster than that can be announced", retry_after_s=5)
        return heartbeat.pinged(known, sign)

    heartbeats.change(s, place.tenant, place.monitor_id, decide)


def badge_of(s: Services, token: str) -> str:
    """The badge of a monitor as SVG. Raises NotFound."""
    place = _place(s, token, "badge")
    found = heartbeat.observe(heartbeats.load(s, place.tenant, place.monitor_id), s.clock.now_ms())
    return badge.draw(found.name, found.state)


def _kind_of(signal: str) -> tuple[PingKind, int | None]:
    match signal:
        case "":
            return "success", None
        case "start":
            return "start", None
        case "fail":
            return "fail", None
        case "log":
            return "log", None
    if _CODE.fullmatch(signal) is None or int(signal) > EXIT_CODE_MAX:
        raise missing(f"ping of this kind: start, fail, log or an exit code from 0 to {EXIT_CODE_MAX}")
    return ("fail" if int(signal) else "success"), int(signal)


def _place(s: Services, token: str, use: str) -> PlacedToken:
    if _TOKEN.fullmatch(token) is None:
        raise missing("monitor with this token")
    record = s.stores.alerts.load(EVERYBODY, "token", token)
    if record is None:
        raise missing("monitor with this token")
    known_use, monitor_id, tenant = record.document.split(" ", 2)
    if known_use != use:
        raise missing("monitor with this token")
    return PlacedToken(tenant, monitor_id, known_use)


def _ours(s: Services, caller: Caller, monitor_id: str, versions: list[str] | None) -> Heartbeat:
    found = get(s, caller, monitor_id, "monitors:write")
    _check_version(found, versions)
    return found


def _check_version(found: Heartbeat, versions: list[str] | None) -> None:
    if versions is not None and found.version not in versions:
        raise PreconditionFailed(f"the monitor is at version {found.version}")


def _check_count(s: Services, tenant: str) -> None:
    count, after = 0, None
    while True:
        found, after = s.stores.alerts.page(tenant, "monitor", PAGE_MAX_ITEMS, after)
        count += len(found)
        if count >= MONITORS_MAX_COUNT:
            raise CapacityExhausted(f"a tenant has at most {MONITORS_MAX_COUNT} monitors")
        if after is None:
            return


def _token(s: Services) -> str:
    bits = f"{s.ids.secret_bits() % (1 << 128):032x}"
    return "-".join((bits[:8], bits[8:12], bits[12:16], bits[16:20], bits[20:]))

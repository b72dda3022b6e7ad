"""A monitor of a job that we do not run: the job sends pings, and a ping that is missing is found to the millisecond.

A monitor is ``new`` until its first ping. A success makes it ``up`` and says when the next ping is expected. From then
on it is ``late``, and ``down`` when the grace is over too. A start without an end is down after the grace as well. A
failure is down at once. Nothing but a success brings it up again.

``observe`` is asked at instants and after every ping, and knows no clock. Each going down and coming up has a number,
and stays in ``untold`` until it was announced. So that happens at least once, under one id, although a worker dies.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.errors import InvalidField
from chalicelib.core.heartbeats.limits import CLOCKS_APART_MS, CROSSINGS_RAISED, PINGS_KEPT
from chalicelib.core.recurrence import expressions
from chalicelib.core.recurrence.expressions import RecurrenceType, Spec

HeartbeatState = Literal["new", "up", "late", "down", "paused"]
PingKind = Literal["success", "start", "fail", "log"]
KINDS: Final = ("CRON", "RATE", "ISO8601", "RRULE")
EVENT_TYPE: Final = "chronowatch.monitor.v1"


class Ping(Struct, frozen=True):
    """One sign of life, as it arrived at ``at_ms``."""

    kind: PingKind
    at_ms: int
    exit_code: int | None = None
    text: str = ""


class Crossing(Struct, frozen=True):
    """That a monitor went down or came up: the number-th such change, at ``at_ms``."""

    number: int
    state: Literal["up", "down"]
    at_ms: int
    reason: str


class Heartbeat(Struct, frozen=True, kw_only=True):
    """A monitor. Times are unix milliseconds; ``rev`` orders all writes, ``version`` its definition.

    ``expected_ms`` is when the next ping is expected (None: nothing is). ``started_ms`` is when a start came whose end
    did not, and ``ended_ms`` when the last success or failure came. ``crossings`` counts changes between up and down.
    ``is_bad`` says that the last of them was down: a pause does not end what was announced.
    """

    tenant: str
    id: str
    rev: int = 1
    version: str
    name: str
    type: RecurrenceType
    expr: str
    timezone: str
    grace_ms: int
    tags: tuple[str, ...] = ()
    owner: str
    ping_token: str
    badge_token: str
    created_ms: int
    updated_ms: int
    state: HeartbeatState = "new"
    expected_ms: int | None = None
    started_ms: int | None = None
    last_ping_ms: int | None = None
    ended_ms: int | None = None
    down_since_ms: int | None = None
    crossings: int = 0
    is_bad: bool = False
    untold: tuple[Crossing, ...] = ()
    pings: tuple[Ping, ...] = ()

    @property
    def deadline_ms(self) -> int | None:
        """When it goes down, unless a ping comes before."""
        if self.state in ("down", "paused"):
            return None
        ends = [at_ms + self.grace_ms for at_ms in (self.expected_ms, self.started_ms) if at_ms is not None]
        return min(ends, default=None)

    @property
    def next_look_ms(self) -> int | None:
        """When time alone changes it next; 0 while a change is to be announced."""
        if self.untold:
            return 0
        if self.state == "up" and self.expected_ms is not None:
            return min(self.expected_ms, self.deadline_ms or self.expected_ms)
        return self.deadline_ms


def check(name: str, type_: RecurrenceType, expr: str, timezone: str, now_ms: int) -> None:
    """Refuse a name and a recurrence that no monitor can have. Raises InvalidField."""
    if not name.isprintable():
        raise InvalidField.of("name", "must not hold control characters")
    if type_ not in KINDS:
        raise InvalidField.of("type", "must be one of " + ", ".join(KINDS))
    expressions.compile(Spec(type_, expr, timezone, now_ms))


def expected_after(heartbeat: Heartbeat, at_ms: int) -> int | None:
    """When the next ping is expected after one at ``at_ms``. Periods count from that ping."""
    spec = Spec(heartbeat.type, heartbeat.expr, heartbeat.timezone, at_ms)
    return expressions.compile_uncached(spec).next_after(at_ms)


def observe(heartbeat: Heartbeat, now_ms: int) -> Heartbeat:
    """The monitor as of ``now_ms``: what time alone has made of it. The same object when that is nothing."""
    deadline_ms = heartbeat.deadline_ms
    if deadline_ms is not None and deadline_ms <= now_ms:
        started = heartbeat.started_ms is not None and heartbeat.started_ms + heartbeat.grace_ms == deadline_ms
        return _down(heartbeat, deadline_ms, "not_ended" if started else "missed")
    if heartbeat.state == "up" and heartbeat.expected_ms is not None and heartbeat.expected_ms <= now_ms:
        return replace(heartbeat, state="late", rev=heartbeat.rev + 1)
    return heartbeat


def pinged(heartbeat: Heartbeat, ping: Ping) -> Heartbeat:
    """The monitor after a ping. What time has made of it until then comes first.

    A ping may be written later than it arrived. It counts from its arrival, but from no earlier than what was made of
    the monitor meanwhile. An end that arrived before another end which has been written changes no state, and a start
    that arrived before any other ping does not.
    """
    at_ms = ping.at_ms
    known = observe(heartbeat, at_ms)
    kept = (*known.pings, ping)[-PINGS_KEPT:]
    known = replace(known, pings=kept, rev=heartbeat.rev + 1)
    if ping.kind == "log":
        return known
    newest_ms = (known.last_ping_ms if ping.kind == "start" else known.ended_ms) or 0
    if at_ms < newest_ms - CLOCKS_APART_MS:
        return known
    at_ms = max(at_ms, newest_ms, known.down_since_ms or 0, known.updated_ms)
    known = replace(known, last_ping_ms=max(at_ms, known.last_ping_ms or 0))
    if known.state == "paused":
        return known
    if ping.kind == "start":
        return replace(known, started_ms=at_ms)
    if known.started_ms is not None and known.started_ms <= at_ms + CLOCKS_APART_MS:
        known = replace(known, started_ms=None)
    known = replace(known, ended_ms=at_ms)
    if ping.kind == "fail":
        failed = replace(known, expected_ms=expected_after(known, at_ms))
        return failed if failed.state == "down" else replace(_down(failed, at_ms, "failed"), rev=known.rev)
    return _up(known, at_ms)


def paused(heartbeat: Heartbeat, version: str, now_ms: int) -> Heartbeat:
    """The monitor, which expects nothing for now. What it missed before stays missed."""
    known = observe(heartbeat, now_ms)
    fresh = {"version": version, "updated_ms": now_ms, "rev": heartbeat.rev + 1}
    return replace(known, state="paused", expected_ms=None, started_ms=None, down_since_ms=None, **fresh)


def resumed(heartbeat: Heartbeat, version: str, now_ms: int) -> Heartbeat:
    """The monitor after its pause: up from now on when it had ever pinged, else new."""
    if heartbeat.state != "paused":
        return heartbeat
    fresh = replace(heartbeat, state="new", version=version, updated_ms=now_ms, rev=heartbeat.rev + 1)
    return fresh if heartbeat.last_ping_ms is None else rescheduled(replace(fresh, state="up"), now_ms)


def rescheduled(heartbeat: Heartbeat, now_ms: int) -> Heartbeat:
    """The monitor with another expectation, after its recurrence or its pause has changed."""
    if heartbeat.state not in ("up", "late"):
        return heartbeat
    return replace(heartbeat, state="up", expected_ms=expected_after(heartbeat, now_ms))


def restored(heartbeat: Heartbeat, now_ms: int) -> Heartbeat:
    """The monitor out of a backup. What became of it since is not known: it announces nothing of that time, and expects
    a ping from now on. Its changes are numbered above those that were announced, so that none passes for one of them.
    """
    numbered = heartbeat.crossings + CROSSINGS_RAISED
    quiet = replace(heartbeat, untold=(), started_ms=None, crossings=numbered, rev=heartbeat.rev + 1)
    return rescheduled(quiet, now_ms)


def told(heartbeat: Heartbeat, numbers: int) -> Heartbeat:
    """The monitor after its changes up to a number were announced."""
    left = tuple(crossing for crossing in heartbeat.untold if crossing.number > numbers)
    return replace(heartbeat, untold=left, rev=heartbeat.rev + 1)


def _down(known: Heartbeat, at_ms: int, reason: str) -> Heartbeat:
    crossing = Crossing(known.crossings + 1, "down", at_ms, reason)
    return replace(
        known,
        state="down",
        is_bad=True,
        down_since_ms=at_ms,
        started_ms=None,
        crossings=crossing.number,
        untold=(*known.untold, crossing),
        rev=known.rev + 1,
    )


def _up(known: Heartbeat, at_ms: int) -> Heartbeat:
    fresh = replace(known, state="up", expected_ms=expected_after(known, at_ms), down_since_ms=None)
    if known.state != "down" and not known.is_bad:
        return fresh
    crossing = Crossing(known.crossings + 1, "up", at_ms, "pinged")
    return replace(fresh, is_bad=False, crossings=crossing.number, untold=(*known.untold, crossing))

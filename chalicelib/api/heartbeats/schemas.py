"""Monitors as callers send them and see them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.requests import PLAIN_TEXT, Body, Opt, PageQuery, Query, given
from chalicelib.api.http.responses import ShownInstant, Ulid
from chalicelib.api.schedules.schemas import Expr, Tag, Tags, Timezone
from chalicelib.core.heartbeats.heartbeat import Heartbeat, HeartbeatState, PingKind
from chalicelib.core.heartbeats.limits import GRACE_MAX_MS, GRACE_MIN_MS
from chalicelib.core.recurrence.expressions import RecurrenceType
from chalicelib.core.schedules.limits import NAME_MAX_CHARS
from chalicelib.usecases.heartbeats import MonitorWish

MonitorName = Annotated[str, Meta(min_length=1, max_length=NAME_MAX_CHARS), PLAIN_TEXT]
ExpectedBy = Literal["CRON", "RATE", "ISO8601", "RRULE"]
Grace = Annotated[int, Meta(ge=GRACE_MIN_MS, le=GRACE_MAX_MS, description="Milliseconds a ping may be late.")]


class MonitorChanges(Body, kw_only=True):
    """The fields to change; what is left out stays."""

    name: Opt[MonitorName] = UNSET
    type: Opt[ExpectedBy] = UNSET
    expr: Opt[Expr] = UNSET
    timezone: Opt[Timezone] = UNSET
    grace_ms: Opt[Grace] = UNSET
    tags: Opt[Tags] = UNSET


class NewMonitor(MonitorChanges, kw_only=True):
    """A monitor to create: when pings are expected, and how late they may be."""

    name: MonitorName
    type: ExpectedBy
    expr: Expr
    grace_ms: Grace


class PingBody(Body, kw_only=True):
    """What a job says with its ping."""

    text: str = ""


class PingQuery(Query, kw_only=True):
    """What clients of healthchecks send: the id of a run, which is taken and not used."""

    rid: Opt[Annotated[str, Meta(max_length=64)]] = UNSET


class MonitorsQuery(PageQuery, kw_only=True):
    """Which monitors."""

    tag: Opt[Tag] = UNSET


class PingView(msgspec.Struct, kw_only=True):
    """One of the last pings."""

    kind: PingKind
    at_unix_ms: ShownInstant
    exit_code: Opt[int] = UNSET
    text: Opt[str] = UNSET


class MonitorView(msgspec.Struct, kw_only=True):
    """A monitor. `expected_unix_ms`: when the next ping is expected; null: none is. A ping needs `ping_url` alone."""

    id: Ulid
    name: str
    type: RecurrenceType
    expr: str
    timezone: str
    grace_ms: int
    tags: list[str]
    owner: str
    state: HeartbeatState
    last_ping_unix_ms: ShownInstant | None
    expected_unix_ms: ShownInstant | None
    started_unix_ms: ShownInstant | None
    down_since_unix_ms: ShownInstant | None
    ping_url: str
    badge_url: str
    pings: list[PingView]
    version: str
    created_at_unix_ms: ShownInstant
    updated_at_unix_ms: ShownInstant


class MonitorList(msgspec.Struct):
    """A page of monitors, newest first."""

    items: list[MonitorView]
    next_page_token: str | None


class MonitorDeleted(msgspec.Struct):
    """What was deleted."""

    id: str


def wish_of(body: MonitorChanges) -> MonitorWish:
    """What is asked of a monitor."""
    tags = given(body.tags)
    return MonitorWish(
        given(body.name),
        given(body.type),
        given(body.expr),
        given(body.timezone),
        given(body.grace_ms),
        None if tags is None else tuple(tags),
    )


def of_monitor(found: Heartbeat, base: str) -> MonitorView:
    """A monitor as its owner sees it. ``base``: what stands before our paths in a URL."""
    return MonitorView(
        id=found.id,
        name=found.name,
        type=found.type,
        expr=found.expr,
        timezone=found.timezone,
        grace_ms=found.grace_ms,
        tags=list(found.tags),
        owner=found.owner,
        state=found.state,
        last_ping_unix_ms=found.last_ping_ms,
        expected_unix_ms=found.expected_ms,
        started_unix_ms=found.started_ms,
        down_since_unix_ms=found.down_since_ms,
        ping_url=f"{base}/ping/{found.ping_token}",
        badge_url=f"{base}/badge/{found.badge_token}.svg",
        pings=[
            PingView(
                kind=p.kind,
                at_unix_ms=p.at_ms,
                exit_code=UNSET if p.exit_code is None else p.exit_code,
                text=p.text or UNSET,
            )
            for p in reversed(found.pings)
        ],
        version=found.version,
        created_at_unix_ms=found.created_ms,
        updated_at_unix_ms=found.updated_ms,
    )

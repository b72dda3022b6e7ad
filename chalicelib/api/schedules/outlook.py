"""Versions of a schedule, and what all schedules will run, over HTTP."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply
from chalicelib.api.http.requests import Body, Instant, Opt, Query, given
from chalicelib.api.http.responses import ShownInstant, Ulid
from chalicelib.api.schedules.operations import ONE, id_of
from chalicelib.api.schedules.schemas import ScheduleView, language_of, of_schedule
from chalicelib.core.schedules.schedule import Definition, Schedule
from chalicelib.core.words.languages import WordsLanguage
from chalicelib.usecases import schedule_outlook


class VersionView(msgspec.Struct, kw_only=True):
    """A version, and the schedule under it. What the service keeps (`next_run_unix_ms`, `run_count` and the like) is
    as it is now. `until_unix_ms` is null for the one in force."""

    version: str
    since_unix_ms: ShownInstant
    until_unix_ms: ShownInstant | None
    note: Opt[str] = UNSET
    paused_until_unix_ms: Annotated[
        Opt[ShownInstant], Meta(description="Until when this version is paused, or was: it goes on by itself.")
    ] = UNSET
    schedule: ScheduleView


class VersionList(msgspec.Struct):
    """Versions, the one in force first. `more`: there were others before."""

    items: list[VersionView]
    more: bool


class UpcomingQuery(Query, kw_only=True):
    """From when until when, at most 24 hours. Left out: the next six."""

    from_unix_ms: Opt[Instant] = UNSET
    to_unix_ms: Opt[Instant] = UNSET


class UpcomingItem(msgspec.Struct):
    """A schedule and its runs; of many only the first 100 are listed, and `count` is of all."""

    schedule_id: Ulid
    name: str | None
    owner: str
    type: str
    count: int
    runs_unix_ms: list[ShownInstant]


class MinuteCount(msgspec.Struct):
    """How many runs a minute has."""

    at_unix_ms: ShownInstant
    count: int


class UpcomingView(msgspec.Struct):
    """What will run, the soonest first, and how many in each minute. `complete` is false where there is more than one
    answer holds: 1,000 schedules, 20,000 runs."""

    from_unix_ms: ShownInstant
    to_unix_ms: ShownInstant
    items: list[UpcomingItem]
    minutes: list[MinuteCount]
    complete: bool


def versions(call: Call[Body, Query]) -> Reply:
    """What a schedule was."""
    found = schedule_outlook.versions(call.services, call.caller, id_of(call))
    now_ms = call.services.clock.now_ms()
    language = language_of(call.headers)
    items = [_version(found.schedule, version, now_ms, language) for version in found.versions]
    return Reply(200, VersionList(items, found.more))


def _version(found: Schedule, version: Definition, now_ms: int, language: WordsLanguage) -> VersionView:
    return VersionView(
        version=version.version,
        since_unix_ms=version.since_ms,
        until_unix_ms=version.until_ms,
        note=UNSET if version.note is None else version.note,
        paused_until_unix_ms=UNSET if version.paused_until_ms is None else version.paused_until_ms,
        schedule=of_schedule(Schedule(version, found.state), now_ms, language),
    )


def upcoming(call: Call[Body, UpcomingQuery]) -> Reply:
    """What will run."""
    q = call.query
    found = schedule_outlook.upcoming(call.services, call.caller, given(q.from_unix_ms), given(q.to_unix_ms))
    items = [UpcomingItem(d.id, d.name, d.owner, d.type, count, list(instants)) for d, instants, count in found.ahead]
    minutes = [MinuteCount(at_ms, count) for at_ms, count in found.minutes]
    return Reply(200, UpcomingView(found.from_ms, found.to_ms, items, minutes, found.complete))


def operations() -> list[Operation]:
    """The calls of this part."""
    return [
        Operation(
            method="GET",
            path=ONE + "/versions",
            summary="The versions of a schedule, the one in force first",
            tag="schedules",
            permission="schedules:read",
            handler=versions,
            answers={200: VersionList},
            errors=(404,),
            description="At most 100, kept as long as executions. To go back to one, `PATCH` the schedule with its "
            "fields: that makes a new version.",
        ),
        Operation(
            method="GET",
            path="/api/v1/upcoming",
            summary="What will run in the next hours, and how much in each minute",
            tag="schedules",
            permission="schedules:read",
            handler=upcoming,
            query=UpcomingQuery,
            answers={200: UpcomingView},
            description="Of the caller's schedules, or every owner's, as the roles say. Jitter is not foreseen, and of "
            "a DELAY only the next run is known.",
        ),
    ]

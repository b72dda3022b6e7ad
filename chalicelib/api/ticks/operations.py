"""Ticks over HTTP: history, where the streams stand, switches, and Server-Sent Events."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator

from chalicelib.api.http import event_stream
from chalicelib.api.http.event_stream import FeedPause, StreamEvent
from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, Query, given
from chalicelib.api.targets.schemas import of_target, target_of
from chalicelib.api.ticks import schemas
from chalicelib.core.errors import InvalidField
from chalicelib.core.targets.target_description import TargetFields
from chalicelib.core.ticks.frequencies import Frequency
from chalicelib.core.ticks.limits import SEQUENCE_MAX, TICK_STREAM_MAX_MS
from chalicelib.core.ticks.numbering import Tick
from chalicelib.core.ticks.tick_book import Skipped
from chalicelib.usecases import tick_feed, ticks
from chalicelib.usecases.tick_feed import Dropped, Nothing

COLLECTION = "/api/v1/ticks"
_TAGGED = {"ETag": "Of the stream, for `If-Match`: it changes with the switch and the target, not with the ticks."}


def page(call: Call[Body, schemas.TicksQuery]) -> Reply:
    """A page of a stream, or with ``Accept: text/event-stream`` the stream itself."""
    frequency = ticks.frequency_of(call.params["frequency"])
    if event_stream.is_asked_for(call.headers):
        return _subscribe(call, frequency)
    position = call.after(call.query)
    after_sequence = int(position) if position is not None else given(call.query.after_sequence, 0) or 0
    found = ticks.history(call.services, call.caller, frequency, after_sequence, call.query.limit)
    next_position = str(found.ticks[-1].sequence) if found.more else None
    items, gaps = [_tick(t) for t in found.ticks], [_gap(g) for g in found.gaps]
    shown = schemas.TickList(items, gaps, call.token(next_position))
    return Reply(200, shown, {"ETag": entity_tag(found.version)})


def streams(call: Call[Body, Query]) -> Reply:
    """Where each stream stands."""
    return Reply(200, schemas.TickStreamList([_stream(v) for v in ticks.views(call.services, call.caller)], None))


def enable(call: Call[schemas.EnableTicksBody, Query]) -> Reply:
    """Start a stream."""
    asked = call.body.target
    target = target_of(asked) if isinstance(asked, TargetFields) else asked
    return _switched(ticks.enable(call.services, call.caller, call.params["frequency"], target, call.versions))


def disable(call: Call[Body, Query]) -> Reply:
    """Stop a stream."""
    return _switched(ticks.disable(call.services, call.caller, call.params["frequency"], call.versions))


def _switched(view: ticks.TickStreamStatus) -> Reply:
    return Reply(200, _stream(view), {"ETag": entity_tag(view.version)})


def _tick(tick: Tick) -> schemas.TickView:
    return schemas.TickView(
        id=tick.id,
        timestamp=tick.timestamp,
        frequency=tick.frequency,
        sequence=tick.sequence,
        seed=tick.seed,
        schema_version=tick.schema_version,
        producer_version=tick.producer_version,
        instance_id=tick.instance_id,
        caught_up=tick.caught_up,
    )


def _gap(skipped: Skipped) -> schemas.TickGap:
    after, gap = skipped
    return schemas.TickGap(
        after_sequence=after, from_timestamp=gap.from_nanos, to_timestamp=gap.to_nanos, count=gap.count
    )


def _stream(view: ticks.TickStreamStatus) -> schemas.TickStreamView:
    return schemas.TickStreamView(
        frequency=view.frequency,
        enabled=view.enabled,
        sequence=view.last_sequence,
        timestamp=view.last_nanos,
        next_timestamp=view.next_nanos,
        reserved_sequence=view.reserved_sequence,
        target=None if view.target is None else of_target(view.target),
    )


# -- Server-Sent Events


def _subscribe(call: Call[Body, schemas.TicksQuery], frequency: Frequency) -> Reply:
    """Ticks as they come."""
    s, after_sequence = call.services, _last_number(call)

    def feed(gone: Callable[[], bool], may_wait: bool) -> event_stream.Feed:
        until_ms = s.clock.now_ms() + TICK_STREAM_MAX_MS if may_wait else 0
        items = tick_feed.follow(s, call.caller, frequency, after_sequence, until_ms, gone)
        return _events(items, s.clock.now_ms)

    return event_stream.reply(feed, s.process.tick_streams, call.caller.principal)


def _last_number(call: Call[Body, schemas.TicksQuery]) -> int | None:
    """The number that the subscriber has: what its last event said, else what it asks for; None: it has none."""
    said = event_stream.last_event_id(call.headers)
    if said is None:
        return given(call.query.after_sequence)
    if not (said.isascii() and said.isdecimal()) or int(said) > SEQUENCE_MAX:
        raise InvalidField.of(event_stream.LAST_EVENT_ID, "must be the sequence of a tick")
    return int(said)


def _events(feed: Generator[tick_feed.Item, None, None], now_ms: Callable[[], int]) -> event_stream.Feed:
    """Each tick under its number, so that the browser says it when it comes back."""
    with contextlib.closing(feed):
        for item in feed:
            if isinstance(item, Nothing):
                yield None
            elif isinstance(item, tick_feed.Pause):
                yield FeedPause((item.until_ms - now_ms()) / 1000)
            elif isinstance(item, Dropped):
                dropped = {**item._asdict(), "count": item.until_sequence - item.after_sequence}
                yield StreamEvent("dropped", dropped)
            else:
                yield StreamEvent("tick", _tick(item), str(item.sequence))


def operations() -> list[Operation]:
    """The calls of this noun."""
    one = COLLECTION + "/{frequency}"
    return [
        Operation(
            method="GET",
            path=COLLECTION,
            summary="Where the streams of ticks stand",
            tag="ticks",
            permission="ticks:read",
            handler=streams,
            answers={200: schemas.TickStreamList},
        ),
        Operation(
            method="GET",
            path=one,
            summary="Ticks of a stream, oldest first",
            tag="ticks",
            permission="ticks:read",
            handler=page,
            query=schemas.TicksQuery,
            answers={200: schemas.TickList},
            answer_headers=_TAGGED,
            description="`frequency` is second, minute, hour or day. With `Accept: text/event-stream` ticks come as "
            "Server-Sent Events, `event: tick` with the sequence as `id`; `Last-Event-ID` goes on from there, without "
            "loss or repeat. To a subscriber that falls far behind, `event: dropped` reports the numbers that it did "
            "not get. A server that cannot stream answers with the ticks there are, and the subscriber comes back.",
        ),
        Operation(
            method="POST",
            path=one + ":enable",
            summary="Start a stream of ticks",
            tag="ticks",
            permission="ticks:write",
            handler=enable,
            body=schemas.EnableTicksBody,
            answers={200: schemas.TickStreamView},
            errors=(403,),
            guarded=True,
            answer_headers=_TAGGED,
            description="For admins. After a pause nothing is owed, and numbers go on.",
        ),
        Operation(
            method="POST",
            path=one + ":disable",
            summary="Stop a stream of ticks",
            tag="ticks",
            permission="ticks:write",
            handler=disable,
            answers={200: schemas.TickStreamView},
            errors=(403,),
            guarded=True,
            answer_headers=_TAGGED,
            description="For admins. The stream ends within two seconds; ticks up to `reserved_sequence` still come.",
        ),
    ]

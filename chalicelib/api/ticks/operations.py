"""Ticks over HTTP: history, where the streams stand, switches, and Server-Sent Events."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import cast

import msgspec

from chalicelib.api.http import requests, responses
from chalicelib.api.http.connection import caller_is_gone, stream_slot
from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply
from chalicelib.api.http.requests import Body, Query
from chalicelib.api.targets.schemas import Target, target_of
from chalicelib.core.errors import InvalidField, TooMany
from chalicelib.core.ticks.frequencies import Frequency
from chalicelib.core.ticks.limits import SEQUENCE_MAX, TICK_STREAM_MAX_MS
from chalicelib.core.ticks.numbering import Tick
from chalicelib.core.ticks.tick_book import Skipped
from chalicelib.ports.services import Services
from chalicelib.usecases import tick_feed, ticks
from chalicelib.usecases.tick_feed import Dropped, Nothing

COLLECTION = "/api/v1/ticks"
EVENT_STREAM = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"
COME_BACK_MS = 1000

_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def page(call: Call[Body, requests.TicksQuery]) -> Reply:
    """A page of a stream, or with ``Accept: text/event-stream`` the stream itself."""
    frequency = ticks.frequency_of(call.params["frequency"])
    if EVENT_STREAM in call.headers.get("accept", ""):
        return _subscribe(call, frequency)
    position = call.after(call.query)
    after_sequence = int(position) if position is not None else requests.given(call.query.after_sequence, 0) or 0
    found = ticks.history(call.services, frequency, after_sequence, call.query.limit)
    next_position = str(found.ticks[-1].sequence) if found.more else None
    items, gaps = [_tick(t) for t in found.ticks], [_gap(g) for g in found.gaps]
    return Reply(200, responses.TickList(items, gaps, call.token(next_position)))


def streams(call: Call[Body, Query]) -> Reply:
    """Where each stream stands."""
    return Reply(200, responses.TickStreamList([_stream(v) for v in ticks.views(call.services)], None))


def enable(call: Call[requests.EnableTicksBody, Query]) -> Reply:
    """Start a stream."""
    asked = call.body.target
    target = None if isinstance(asked, msgspec.UnsetType) else {} if asked is None else target_of(asked)
    return Reply(200, _stream(ticks.enable(call.services, call.caller, call.params["frequency"], target)))


def disable(call: Call[Body, Query]) -> Reply:
    """Stop a stream."""
    return Reply(200, _stream(ticks.disable(call.services, call.caller, call.params["frequency"])))


def _tick(tick: Tick) -> responses.TickView:
    return responses.TickView(
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


def _gap(skipped: Skipped) -> responses.TickGap:
    after, gap = skipped
    return responses.TickGap(
        after_sequence=after, from_timestamp=gap.from_nanos, to_timestamp=gap.to_nanos, count=gap.count
    )


def _stream(view: ticks.View) -> responses.TickStreamView:
    return responses.TickStreamView(
        frequency=view.frequency,
        enabled=view.enabled,
        sequence=view.last_sequence,
        timestamp=view.last_nanos,
        next_timestamp=view.next_nanos,
        reserved_sequence=view.reserved_sequence,
        target=cast(Target, view.target),  # stored as it is shown
    )


# -- Server-Sent Events


def _subscribe(call: Call[Body, requests.TicksQuery], frequency: Frequency) -> Reply:
    """Ticks as they come where the server can stream, else those there are; the subscriber comes back for more."""
    after_sequence = _last_number(call)
    slot = stream_slot()
    if slot is None:
        feed = tick_feed.follow(call.services, frequency, after_sequence, 0, caller_is_gone())
        return Reply(200, "".join(_events(feed)), dict(_STREAM_HEADERS), EVENT_STREAM)
    slot.chunks = _Subscription(call.services, frequency, after_sequence, caller_is_gone())
    return Reply(200, "", dict(_STREAM_HEADERS), EVENT_STREAM)


def _last_number(call: Call[Body, requests.TicksQuery]) -> int | None:
    """The number that the subscriber has: what its last event said, else what it asks for; None: it has none."""
    said = call.headers.get(LAST_EVENT_ID.lower())
    if not said:
        return requests.given(call.query.after_sequence)
    if not (said.isascii() and said.isdecimal()) or int(said) > SEQUENCE_MAX:
        raise InvalidField.of(LAST_EVENT_ID, "must be the sequence of a tick")
    return int(said)


class _Subscription:
    """The body of one subscriber's answer. It has one of the process's places until it is closed."""

    def __init__(self, s: Services, frequency: Frequency, after_sequence: int | None, gone: Callable[[], bool]) -> None:
        if not s.process.tick_streams.take():
            raise TooMany("this server has no place for a further subscriber", retry_after_s=5)
        self._s = s
        self._lock = threading.Lock()
        self._open = True
        until_ms = s.clock.now_ms() + TICK_STREAM_MAX_MS
        self._feed = tick_feed.follow(s, frequency, after_sequence, until_ms, gone)

    def __iter__(self) -> Iterator[bytes]:
        return (event.encode() for event in _events(self._feed))

    def close(self) -> None:
        """Give the place back, once."""
        with self._lock:
            was_open, self._open = self._open, False
        if was_open:
            self._s.process.tick_streams.give_back()
            with contextlib.suppress(ValueError):  # another thread is inside it; it ends with its connection
                self._feed.close()


def _events(feed: Iterator[tick_feed.Item]) -> Iterator[str]:
    """The events of a feed (WHATWG HTML, 9.2): each tick under its number, so that the browser says it when it comes
    back."""
    yield f"retry: {COME_BACK_MS}\n\n"
    for item in feed:
        if isinstance(item, Nothing):
            yield ": still here\n\n"
        elif isinstance(item, Dropped):
            told = {**item._asdict(), "count": item.until_sequence - item.after_sequence}
            yield f"event: dropped\ndata: {msgspec.json.encode(told).decode()}\n\n"
        else:
            yield f"id: {item.sequence}\nevent: tick\ndata: {msgspec.json.encode(_tick(item)).decode()}\n\n"


def operations() -> list[Operation]:
    """The calls of this noun."""
    one = COLLECTION + "/{frequency}"
    return [
        Operation(
            method="GET",
            path=COLLECTION,
            summary="Where the streams of ticks stand",
            tag="ticks",
            handler=streams,
            answers={200: responses.TickStreamList},
        ),
        Operation(
            method="GET",
            path=one,
            summary="Ticks of a stream, oldest first",
            tag="ticks",
            handler=page,
            query=requests.TicksQuery,
            answers={200: responses.TickList},
            description="`frequency` is second, minute, hour or day. With `Accept: text/event-stream` ticks come as "
            "Server-Sent Events, `event: tick` with the sequence as `id`; `Last-Event-ID` goes on from there, without "
            "loss or repeat. A subscriber that falls far behind is told by `event: dropped` which numbers it did not "
            "get. A server that cannot stream answers with the ticks there are, and the subscriber comes back.",
        ),
        Operation(
            method="POST",
            path=one + ":enable",
            summary="Start a stream of ticks",
            tag="ticks",
            handler=enable,
            body=requests.EnableTicksBody,
            answers={200: responses.TickStreamView},
            errors=(403,),
            description="For admins. After a pause nothing is owed, and numbers go on.",
        ),
        Operation(
            method="POST",
            path=one + ":disable",
            summary="Stop a stream of ticks",
            tag="ticks",
            handler=disable,
            answers={200: responses.TickStreamView},
            errors=(403,),
            description="For admins. The stream ends within two seconds; ticks up to `reserved_sequence` still come.",
        ),
    ]

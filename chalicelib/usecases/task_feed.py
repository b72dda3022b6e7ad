"""Following the executions of a tenant as they change, for one subscriber.

One job a process reads the logs of all tenants that have subscribers, and rings when there is something new. Each
subscriber goes on from its own position: from the shared tail, or from the log itself while it is behind that. None of
them holds a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Final, NamedTuple

from chalicelib.core.changes.change_log import Segment
from chalicelib.core.changes.limits import (
    CHANGES_TAIL_POLL_MS,
    FEED_HEARTBEAT_MS,
    HOLD_POLL_MS,
    PAGE_SEGMENTS,
    WHOLE_ANSWER_CHANGES,
)
from chalicelib.core.errors import ChronoError, Gone
from chalicelib.core.executions.execution import Execution
from chalicelib.core.security.caller import Caller
from chalicelib.engine.definitions import load_definitions
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import Versioned
from chalicelib.process.bell import NewsBell
from chalicelib.process.change_tail import ChangeTail, TailEntry
from chalicelib.usecases import changes
from chalicelib.usecases.changes import View

AT_ONCE: Final = 100  # entries that a subscriber takes before others get their turn
PER_SENT: Final = 10  # changes that a whole answer may read, for each that it may send
AWAY_MS: Final = 1_000  # how soon the reading tries again when the tables are away


class Reset(NamedTuple):
    """What the subscriber has missed cannot be sent. ``position``: where it goes on (None: the feed ends here)."""

    reason: str
    detail: str
    position: int | None


class FeedPlace(NamedTuple):
    """Where the subscriber stands, though nothing was sent from there: it goes on from this."""

    position: int


class Silence(NamedTuple):
    """Nothing has changed for a while; the line stands."""


class Rest(NamedTuple):
    """There is nothing more until then, or until ``bell`` rings another time than ``heard``."""

    until_ms: int
    bell: NewsBell
    heard: int


FeedItem = TailEntry | Reset | FeedPlace | Silence | Rest


def follow(
    s: Services, caller: Caller, after: int | None, until_ms: int, gone: Callable[[], bool]
) -> Generator[FeedItem, None, None]:
    """Changes of executions after a position that the caller may see, each once and in order, until ``until_ms`` or
    until the subscriber is gone. Without a position: from now on. Raises Forbidden at the first item."""
    view = changes.view(caller, ["execution"])
    tail, must_start = s.process.change_tails.enter(caller.tenant)
    try:
        if must_start:
            s.tasks.start(lambda: read_tails(s))
        yield from _Follower(s, view, tail, until_ms, gone).items(after)
    finally:
        s.process.change_tails.leave(tail)


def follow_whole(
    s: Services, caller: Caller, after: int | None, until_ms: int, gone: Callable[[], bool]
) -> Generator[FeedItem, None, None]:
    """The same where an answer must be whole: what there is, or what comes first until ``until_ms``, and where the
    subscriber stands then. It comes back for the rest. Raises Forbidden at the first item."""
    view = changes.view(caller, ["execution"])
    position = s.stores.changes.head(caller.tenant).last if after is None else after
    said, sent, seen = after, 0, 0
    while True:
        segments: Sequence[Segment] = ()
        try:
            segments = changes.read(s, caller.tenant, position, PAGE_SEGMENTS)
        except Gone as error:
            position = said = s.stores.changes.head(caller.tenant).last
            sent += 1
            yield Reset(error.code, error.detail, position)
        found = [entry for entry in entries_of(s, segments) if entry.position > position]
        for entry in found:
            position = entry.position
            if view.shows(entry.change) and entry.change.now is not None:
                said, sent = position, sent + 1
                yield entry
        seen += len(found)
        if found and max(sent * PER_SENT, seen) < WHOLE_ANSWER_CHANGES * PER_SENT:
            continue  # there may be more
        now_ms = s.clock.now_ms()
        if found or sent or now_ms >= until_ms or gone():
            break
        s.clock.sleep_until(min(until_ms, now_ms + HOLD_POLL_MS))
    if position != said:
        yield FeedPlace(position)


class _Follower:
    """One subscriber's way through the feed."""

    def __init__(self, s: Services, view: View, tail: ChangeTail, until_ms: int, gone: Callable[[], bool]) -> None:
        self._s = s
        self._view = view
        self._tail = tail
        self._until_ms = until_ms
        self._gone = gone

    def items(self, after: int | None) -> Generator[FeedItem, None, None]:
        s, tail = self._s, self._tail
        position = s.stores.changes.head(self._view.tenant).last if after is None else after
        if after is None:
            yield FeedPlace(position)  # who is cut off before the first change goes on from here
        is_live, spoke_ms = False, s.clock.now_ms()
        while not self._gone():
            heard = tail.bell.number
            found = tail.after(position, AT_ONCE)
            if found is None and is_live:
                yield Reset("too_slow", "too much changed while you read: come back with the last id you have", None)
                return
            if found is None:
                try:
                    found = self._catch_up(position)
                except Gone as error:
                    position = s.stores.changes.head(self._view.tenant).last
                    yield Reset(error.code, error.detail, position)
                    continue
            else:
                is_live = True
            if found:
                position = found[-1].position
            now_ms = s.clock.now_ms()
            for entry in found:
                if self._view.shows(entry.change) and entry.change.now is not None:
                    spoke_ms = now_ms
                    yield entry
            if now_ms >= self._until_ms and not found:
                return
            if now_ms - spoke_ms >= FEED_HEARTBEAT_MS:
                spoke_ms = now_ms
                yield Silence()
            if not found or (is_live and position == tail.last):
                # Also one that is up to date waits for the first reading of the tail.
                yield Rest(min(spoke_ms + FEED_HEARTBEAT_MS, self._until_ms), tail.bell, heard)

    def _catch_up(self, position: int) -> list[TailEntry]:
        segments = changes.read(self._s, self._view.tenant, position, 1)
        return [entry for entry in entries_of(self._s, segments) if entry.position > position]


def entries_of(s: Services, segments: Sequence[Segment]) -> list[TailEntry]:
    """The changes of segments with what executions ran under."""
    found = [TailEntry(place, change) for part in segments for place, change in enumerate(part.changes, part.first)]
    executions = {e.position: e.change.now for e in found if isinstance(e.change.now, Execution)}
    wanted = {Versioned(e.key_of_schedule, e.version) for e in executions.values()}
    definitions = load_definitions(s, wanted) if wanted else {}
    for entry in found:
        execution = executions.get(entry.position)
        if execution is not None:
            entry.definition = definitions.get(Versioned(execution.key_of_schedule, execution.version))
    return found


def read_tails(s: Services) -> None:
    """Read what is new for all subscribers of this process, now and then again, until there are none."""
    tails = s.process.change_tails.followed()
    if not tails:
        return
    pause_ms = AWAY_MS
    try:
        for tenant, tail in tails.items():
            _read_tail(s, tenant, tail)
        pause_ms = CHANGES_TAIL_POLL_MS
    except ChronoError:
        pass  # the tables are away; subscribers notice nothing but silence
    finally:  # whatever happened: without this the subscribers of the process would hear of nothing any more
        s.tasks.at(s.clock.now_ms() + pause_ms, lambda: read_tails(s))


def _read_tail(s: Services, tenant: str, tail: ChangeTail) -> None:
    if tail.last is None:
        tail.begin(s.stores.changes.head(tenant).last)
        return
    segments = s.stores.changes.segments(tenant, tail.last, PAGE_SEGMENTS)
    if not segments:
        return
    if segments[0].first > tail.last + 1:
        tail.begin(s.stores.changes.head(tenant).last)  # it stood still for longer than the log is kept
        return
    tail.extend([entry for entry in entries_of(s, segments) if entry.position > (tail.last or 0)])

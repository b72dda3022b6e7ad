"""Server-Sent Events (WHATWG HTML, 9.2) of any feed: as they come where the server can stream, else those there are.

A subscriber that comes back says the id of the last event that it has (``Last-Event-ID``); the feed goes on from there.
Where answers must be whole, as on API Gateway, it comes back for every part.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Mapping
from typing import NamedTuple

import msgspec

from chalicelib.api.http.connection import Step, caller_is_gone, stream_slot
from chalicelib.api.http.problem import Reply
from chalicelib.core.errors import TooMany
from chalicelib.process.bell import NewsBell
from chalicelib.process.permits import Permits, Principal

MEDIA_TYPE = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"
COME_BACK_MS = 1000
PIECE_EVENTS_MAX = 64
PLACE_FREE_S = 5  # when a subscriber that found no place tries again

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class StreamEvent(NamedTuple):
    """One event. ``id`` is what a subscriber says when it comes back; None: it is no place to go on from."""

    name: str
    data: object
    id: str | None = None

    def text(self) -> str:
        known = "" if self.id is None else f"id: {self.id}\n"
        return f"{known}event: {self.name}\ndata: {msgspec.json.encode(self.data).decode()}\n\n"


class FeedPause(NamedTuple):
    """Nothing to send for so long, or until a bell rings; the feed is to be asked again then."""

    wait_s: float
    bell: NewsBell | None = None
    heard: int = 0


# Text is an event that many subscribers get, made once. None is a heartbeat: nothing has passed for a while, and the
# connection stands.
Feed = Generator[StreamEvent | str | FeedPause | None, None, None]


def is_asked_for(headers: Mapping[str, str]) -> bool:
    """Whether a caller would have a stream of events."""
    return MEDIA_TYPE in headers.get("accept", "")


def last_event_id(headers: Mapping[str, str]) -> str | None:
    """The id of the last event that a subscriber has; None: it names none."""
    return headers.get(LAST_EVENT_ID.lower()) or None


def reply(feed: Callable[[Callable[[], bool], bool], Feed], places: Permits, principal: Principal | None) -> Reply:
    """The answer to a subscriber. ``feed`` is made with a function that says whether the subscriber has gone, and with
    whether it may wait for what is to come. ``places`` bounds the streams of this process, and those of one principal.
    Raises TooMany."""
    slot = stream_slot()
    if slot is None:
        return Reply(200, _whole(feed(caller_is_gone(), False)), dict(_HEADERS), MEDIA_TYPE)
    slot.source = _Subscription(feed, places, principal)
    return Reply(200, "", dict(_HEADERS), MEDIA_TYPE)


class _Subscription:
    """The body of one subscriber's answer. It has one of the process's places until it is closed."""

    def __init__(
        self, feed: Callable[[Callable[[], bool], bool], Feed], places: Permits, principal: Principal | None
    ) -> None:
        if not places.take(principal):
            said = "this server streams to as many subscribers as it may, in all or for one caller"
            raise TooMany(said, retry_after_s=PLACE_FREE_S)
        self._places = places
        self._principal = principal
        self._lock = threading.Lock()
        self._open = True
        self._feed = feed(caller_is_gone(), True)
        self._began = False

    def step(self) -> Step:
        """All events up to the next pause, a piece of PIECE_EVENTS_MAX at a time."""
        texts = [] if self._began else [_GREETING]
        self._began = True
        for event in self._feed:
            if isinstance(event, FeedPause):
                return Step("".join(texts).encode(), max(0.0, event.wait_s), event.bell, event.heard)
            texts.append(event if isinstance(event, str) else _text(event))
            if len(texts) >= PIECE_EVENTS_MAX:
                return Step("".join(texts).encode(), 0.0)
        return Step("".join(texts).encode(), None)

    def close(self) -> None:
        """Give the place back, once."""
        with self._lock:
            was_open, self._open = self._open, False
        if was_open:
            self._places.give_back(self._principal)
            with contextlib.suppress(ValueError):  # another thread is inside it; it ends with its connection
                self._feed.close()


_GREETING = f"retry: {COME_BACK_MS}\n\n"


def _text(event: StreamEvent | str | None) -> str:
    if isinstance(event, str):
        return event
    return ": still here\n\n" if event is None else event.text()


def _whole(feed: Feed) -> str:
    return _GREETING + "".join(_text(event) for event in feed if not isinstance(event, FeedPause))

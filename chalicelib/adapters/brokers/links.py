"""Connections to brokers, kept from one delivery to the next: one lane for each address and its credentials.

A lane is connected by one delivery, and those that come meanwhile wait for that. So a broker that is slow to answer
holds up its own deliveries, and none of another's. What was idle for long is closed: a function that was frozen finds
its connections dead, and many servers close them first.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future
from typing import Final, Protocol

from chalicelib.adapters.brokers.faults import BrokerAway
from chalicelib.ports.target import Delivery

Receipt = Mapping[str, object]
LINKS_MAX: Final = 20
IDLE_S: Final = 50.0


class BrokerLink(Protocol):
    """A connection to one broker. Several threads may publish at once."""

    def publish(self, delivery: Delivery, timeout_s: float) -> Receipt:
        """Send, and return when the broker has acknowledged this very message. Raises what ``faults`` names."""
        ...

    def is_open(self) -> bool:
        """Whether another message can be sent."""
        ...

    def close(self) -> None:
        """Close it. Never raises."""
        ...


class _Lane:
    def __init__(self) -> None:
        self.link: Future[BrokerLink] = Future()
        self.users = 0
        self.used_s = 0.0
        self.dropped = False


class Links:
    """Thread-safe; one for each kind of broker in a process."""

    def __init__(self, monotonic_s: Callable[[], float], max_count: int = LINKS_MAX, idle_s: float = IDLE_S) -> None:
        self._monotonic_s = monotonic_s
        self._max_count = max_count
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._lanes: OrderedDict[Hashable, _Lane] = OrderedDict()
        self._sweeper: threading.Timer | None = None

    @contextlib.contextmanager
    def lent(self, key: Hashable, connect: Callable[[], BrokerLink], timeout_s: float) -> Iterator[BrokerLink]:
        """The connection of a lane, made by the first that asks. Raises what ``connect`` does, in all that wait."""
        lane, is_first = self._enter(key)
        try:
            if is_first:
                self._connect(key, lane, connect)
            yield _result(lane.link, timeout_s)
        finally:
            self._leave(key, lane)

    def has(self, key: Hashable) -> bool:
        """Whether a lane is connected already."""
        with self._lock:
            lane = self._lanes.get(key)
            return lane is not None and lane.link.done()

    def close(self) -> None:
        """Close all that are not in use; what is in use is closed when it is given back."""
        with self._lock:
            unused = [lane for key in list(self._lanes) if (lane := self._drop(key)).users == 0]
            if self._sweeper is not None:
                self._sweeper.cancel()
        _close(unused)

    def _enter(self, key: Hashable) -> tuple[_Lane, bool]:
        with self._lock:
            unused = self._outworn()
            lane = self._lanes.get(key)
            if lane is not None and lane.link.done() and not _is_open(lane):
                self._drop(key)
                unused += [lane] if lane.users == 0 else []
                lane = None
            is_first = lane is None
            if lane is None:
                lane = self._lanes[key] = _Lane()
            lane.users += 1
            self._lanes.move_to_end(key)
            for other in [k for k, each in self._lanes.items() if each.users == 0]:
                if len(self._lanes) <= self._max_count:
                    break
                unused.append(self._drop(other))
        _close(unused)
        return lane, is_first

    def _connect(self, key: Hashable, lane: _Lane, connect: Callable[[], BrokerLink]) -> None:
        try:
            lane.link.set_result(connect())
        except BaseException as error:
            with self._lock:
                if self._lanes.get(key) is lane:
                    self._drop(key)
            lane.link.set_exception(error)

    def _leave(self, key: Hashable, lane: _Lane) -> None:
        with self._lock:
            lane.users -= 1
            lane.used_s = self._monotonic_s()
            over = self._lanes.get(key) is lane and lane.link.done() and not _is_open(lane)
            if over:
                self._drop(key)
            unused = lane.dropped and lane.users == 0
            if self._lanes and self._sweeper is None:
                self._sweeper = threading.Timer(self._idle_s, self._sweep)
                self._sweeper.daemon = True
                self._sweeper.start()
        _close([lane] if unused else [])

    def _sweep(self) -> None:
        with self._lock:
            unused = self._outworn()
            self._sweeper = None
            if self._lanes:
                self._sweeper = threading.Timer(self._idle_s, self._sweep)
                self._sweeper.daemon = True
                self._sweeper.start()
        _close(unused)

    def _outworn(self) -> list[_Lane]:
        limit_s = self._monotonic_s() - self._idle_s
        return [self._drop(k) for k, lane in list(self._lanes.items()) if lane.users == 0 and lane.used_s <= limit_s]

    def _drop(self, key: Hashable) -> _Lane:
        lane = self._lanes.pop(key)
        lane.dropped = True
        return lane


def _result(link: Future[BrokerLink], timeout_s: float) -> BrokerLink:
    try:
        return link.result(timeout_s)
    except TimeoutError as error:
        if link.done():
            raise
        raise BrokerAway("the broker did not accept a connection in time") from error


def _is_open(lane: _Lane) -> bool:
    return lane.link.exception() is None and lane.link.result().is_open()


def _close(lanes: list[_Lane]) -> None:
    for lane in lanes:
        if lane.link.done() and lane.link.exception() is None:
            lane.link.result().close()

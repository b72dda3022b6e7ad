"""Leases as calls (``Leases``) and as something held (``Lease``): renewed in the background, and honest about its loss.

What a holder may believe: it counts from the moment *before* it asked, by its own clock, and stops a stated margin
before its ttl is over. The service counts from when it decided, which is later, and lets no other in before the ttl
has passed by its own clock. So this process stops believing before another can begin, however slow the network is, as
long as the two clocks run at the same speed to within the margin. Nothing can protect from a pause between looking at
``held`` and acting on it: for that the resource checks the ``fencing_token`` (see ``chronowatch.fences``).
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote

from chronowatch.errors import ApiError, LeaseLost, LeaseNotHeld, NotAcquired, Unreachable
from chronowatch.paging import pages
from chronowatch.transport import Transport

Seconds = float

_HOLD_MAX_S = 20.0  # one acquire call is held at most this long; the service allows 25
_MARGIN_SHARE = 10
_MARGIN_MAX_S = 1.0
_RENEWALS_PER_TTL = 3
_RELEASE_TIMEOUT_S = 2.0
_POLL_S = 0.25
_NETWORK_SLACK_S = 5.0


def elapsed_clock() -> Callable[[], Seconds]:
    """A clock that also counts while the machine sleeps, where there is one: a suspended holder must not believe on."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    if boottime is None:
        return time.monotonic
    return lambda: time.clock_gettime(boottime)


def default_margin(ttl: Seconds) -> Seconds:
    """A tenth of the ttl, at most a second: clocks that differ by 10 % in speed are broken beyond help."""
    return min(ttl / _MARGIN_SHARE, _MARGIN_MAX_S)


def new_holder_id() -> str:
    """A name for one holding: host and process for the reader, a random part to make it unique."""
    return f"{socket.gethostname()[:64]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What ``:acquire`` and ``:renew`` answer."""

    acquired: bool
    fencing_token: int = 0
    expires_at_unix_ms: int | None = None
    queue_position: int | None = None
    holder_id: str | None = None


@dataclass(frozen=True, slots=True)
class Validity:
    """What ``:validate`` answers."""

    valid: bool
    highest_fencing_token: int


class Leases:
    """The calls themselves; durations in seconds. ``Client.lease`` is what most callers want."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def acquire(
        self,
        name: str,
        holder_id: str,
        ttl: Seconds,
        *,
        wait: Seconds = 0,
        metadata: Mapping[str, Any] | None = None,
        attempts: int | None = None,
    ) -> Answer:
        """Ask once; held by the service up to ``wait`` (25 s at most)."""
        body: dict[str, Any] = {"name": name, "holder_id": holder_id, "ttl_ms": _ms(ttl), "wait_ms": _ms(wait)}
        if metadata is not None:
            body["metadata"] = dict(metadata)
        found = self._post("acquire", body, timeout=wait + _NETWORK_SLACK_S, attempts=attempts)
        return Answer(
            acquired=found["acquired"],
            fencing_token=found.get("fencing_token") or 0,
            expires_at_unix_ms=found.get("expires_at_unix_ms"),
            queue_position=found.get("queue_position"),
            holder_id=found.get("holder_id"),
        )

    def renew(
        self,
        name: str,
        holder_id: str,
        fencing_token: int,
        ttl: Seconds | None = None,
        *,
        timeout: Seconds | None = None,
        attempts: int | None = None,
    ) -> Answer:
        """Extend. Raises LeaseNotHeld for anyone but the holder with its token."""
        body: dict[str, Any] = {"name": name, "holder_id": holder_id, "fencing_token": fencing_token}
        if ttl is not None:
            body["ttl_ms"] = _ms(ttl)
        found = self._post("renew", body, timeout=timeout, attempts=attempts)
        return Answer(acquired=True, fencing_token=fencing_token, expires_at_unix_ms=found.get("expires_at_unix_ms"))

    def release(
        self,
        name: str,
        holder_id: str,
        fencing_token: int,
        *,
        timeout: Seconds | None = None,
        attempts: int | None = None,
    ) -> None:
        """Give it back; repeating it succeeds. Raises LeaseNotHeld for anyone but the holder with its token."""
        body = {"name": name, "holder_id": holder_id, "fencing_token": fencing_token}
        self._post("release", body, timeout=timeout, attempts=attempts)

    def validate(self, name: str, fencing_token: int) -> Validity:
        """Whether the token is the live holder's, asked by a resource that keeps no tokens itself."""
        found = self._post("validate", {"name": name, "fencing_token": fencing_token})
        return Validity(found["valid"], found["highest_fencing_token"])

    def break_(self, name: str) -> None:
        """Take it from its holder (admin)."""
        self._post("break", {"name": name})

    def get(self, name: str) -> dict[str, Any]:
        """The lease as the service shows it. Raises ApiError 404 for a name that was never leased."""
        found: dict[str, Any] = self._transport.call("GET", "/api/v1/leases/" + quote(name, safe=""))
        return found

    def list(self) -> Iterator[dict[str, Any]]:
        """Every lease of the tenant."""
        return pages(self._transport, "/api/v1/leases")

    def _post(self, verb: str, body: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._transport.call("POST", f"/api/v1/leases:{verb}", body, **how)
        return found


@dataclass(frozen=True, slots=True)
class Terms:
    """How a lease is asked for and kept; durations in seconds."""

    name: str
    holder_id: str
    ttl: Seconds
    margin: Seconds
    metadata: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.margin < self.ttl:
            raise ValueError("margin must be above 0 and below ttl")


@dataclass(frozen=True, slots=True)
class Grant:
    """A token, and until when (by the holder's clock) it may be believed in."""

    fencing_token: int
    believed_until: Seconds


def wait_for(
    leases: Leases,
    terms: Terms,
    clock: Callable[[], Seconds],
    *,
    wait: Seconds | None,
    hold: Seconds = _HOLD_MAX_S,
    stop: threading.Event | None = None,
) -> Grant | None:
    """Ask until granted (None: ``stop`` was set). ``wait`` None asks for ever, 0 asks once; ``hold`` bounds one call.

    Raises NotAcquired when ``wait`` is over; ApiError and Unreachable as they come (waiting for ever, an absent
    service is waited for too).
    """
    stop = stop or threading.Event()
    deadline = None if wait is None else clock() + wait
    while not stop.is_set():
        asked = clock()
        left = hold if deadline is None else max(0.0, min(hold, deadline - asked))
        answer = _ask(leases, terms, left, patient=deadline is None)
        if answer is not None and answer.acquired:
            grant = _believe(leases, terms, clock, asked, answer.fencing_token)
            if grant is not None:
                return grant
        if deadline is not None and clock() >= deadline:
            raise _not_acquired(terms.name, answer)
        # A service that does not hold calls is asked now and then, and often enough to keep the place in the queue.
        stop.wait(max(0.0, min(_POLL_S, terms.ttl / 4, left) - (clock() - asked)))
    return None


def _ask(leases: Leases, terms: Terms, wait: Seconds, *, patient: bool) -> Answer | None:
    try:
        return leases.acquire(terms.name, terms.holder_id, terms.ttl, wait=wait, metadata=terms.metadata)
    except Unreachable:
        if not patient:
            raise
    except ApiError as error:
        if not patient or (error.status < 500 and error.status != 429):
            raise
    return None


def _not_acquired(name: str, answer: Answer | None) -> NotAcquired:
    return NotAcquired(name, answer.queue_position if answer else None, answer.holder_id if answer else None)


def _believe(
    leases: Leases, terms: Terms, clock: Callable[[], Seconds], asked: Seconds, fencing_token: int
) -> Grant | None:
    """The grant, when enough of it is left. A call that was held long enough to use up its ttl is renewed first, so
    that belief counts from a moment just before a quick call; None when that fails, and asking again decides."""
    until = asked + terms.ttl - terms.margin
    if until - clock() < terms.ttl / 2:
        asked = clock()
        try:
            leases.renew(terms.name, terms.holder_id, fencing_token, terms.ttl)
        except (LeaseNotHeld, Unreachable):
            return None
        until = asked + terms.ttl - terms.margin
    return Grant(fencing_token, until) if clock() < until else None


class Lease:
    """A held lease. Threads in the background renew it and watch its end; ``with`` releases it.

    ``on_lost`` is called once, from a thread in the background, when the lease can no longer be counted on before it
    was released. Leaving the ``with`` block of a lost lease raises LeaseLost, unless the body raised already.
    """

    def __init__(
        self,
        leases: Leases,
        terms: Terms,
        grant: Grant,
        clock: Callable[[], Seconds],
        on_lost: Callable[[Lease], object] | None = None,
    ) -> None:
        self.name = terms.name
        self.holder_id = terms.holder_id
        self.fencing_token = grant.fencing_token
        self._leases, self._terms, self._clock, self._on_lost = leases, terms, clock, on_lost
        self._until = grant.believed_until
        self._changed = threading.Condition()
        self._lost_because: str | None = None
        self._released = False
        self._threads = [
            threading.Thread(target=self._renew_often, name=f"renew {self.name}", daemon=True),
            threading.Thread(target=self._watch, name=f"watch {self.name}", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def held(self) -> bool:
        """Whether this process may still act as the holder: by the clock, now, whatever the threads are doing."""
        with self._changed:
            return self._is_held()

    @property
    def remaining(self) -> Seconds:
        """How long it may be counted on without a further renewal; 0 when it is lost or released."""
        with self._changed:
            return max(0.0, self._until - self._clock()) if self._is_held() else 0.0

    def raise_if_lost(self) -> None:
        """Raises LeaseLost when this process may no longer act as the holder. Call it before each thing you protect."""
        with self._changed:
            if not self._is_held():
                raise LeaseLost(f"{self.name}: {self._why_not()}")

    def wait_until_lost(self, timeout: Seconds | None = None, stop: threading.Event | None = None) -> bool:
        """Wait for the end. True when lost or released, False after ``timeout`` or when ``stop`` is set and ``wake``
        was called."""
        deadline = None if timeout is None else self._clock() + timeout
        with self._changed:
            while self._is_held():
                left = self._until - self._clock()
                if deadline is not None:
                    left = min(left, deadline - self._clock())
                    if left <= 0:
                        return False
                if stop is not None and stop.is_set():
                    return False
                self._changed.wait(max(0.0, left))
            return True

    def wake(self) -> None:
        """Let every thread in ``wait_until_lost`` look again."""
        with self._changed:
            self._changed.notify_all()

    def release(self) -> None:
        """Give it back. When the service cannot be reached, it ends with the ttl. Safe to call twice."""
        with self._changed:
            if self._released:
                return
            self._note_the_time()
            self._released = True
            self._changed.notify_all()
        # When the service cannot be reached, nothing is left to do: the lease expires by itself and its token is spent.
        with contextlib.suppress(Unreachable, ApiError):
            self._leases.release(self.name, self.holder_id, self.fencing_token, timeout=_RELEASE_TIMEOUT_S, attempts=2)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_RELEASE_TIMEOUT_S)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        if kind is None and self._lost_because is not None:
            raise LeaseLost(f"{self.name}: {self._lost_because} before its end")

    # -- the following are called with the lock held

    def _is_held(self) -> bool:
        self._note_the_time()
        return self._lost_because is None and not self._released

    def _note_the_time(self) -> None:
        """Once the time is up it is lost for good, also if a late answer says that it was renewed."""
        if self._lost_because is None and not self._released and self._clock() >= self._until:
            self._lose("not renewed in time")

    def _lose(self, because: str) -> None:
        self._lost_because = because
        self._changed.notify_all()

    def _why_not(self) -> str:
        return self._lost_because or "released"

    # -- the threads

    def _renew_often(self) -> None:
        period = self._terms.ttl / _RENEWALS_PER_TTL
        pause = period
        while self._sleep(pause):
            pause = period if self._renew_once() else min(period, _POLL_S, self._terms.ttl / 10)

    def _sleep(self, pause: Seconds) -> bool:
        """Wait for ``pause``; False at once when there is nothing left to renew."""
        until = self._clock() + pause
        with self._changed:
            while self._is_held():
                left = min(until, self._until) - self._clock()
                if until <= self._clock():
                    return True
                self._changed.wait(max(0.0, left))
            return False

    def _renew_once(self) -> bool:
        asked = self._clock()
        timeout = max(0.01, min(self._until - asked, self._terms.ttl / 2))
        try:
            self._leases.renew(
                self.name, self.holder_id, self.fencing_token, self._terms.ttl, timeout=timeout, attempts=1
            )
        except LeaseNotHeld:
            self._refused("the service says that it is not held")
            return False
        except ApiError as error:
            if error.status < 500 and error.status != 429:
                self._refused(f"the service refused to renew it: {error}")
            return False
        except Unreachable:
            return False
        with self._changed:
            if self._is_held():
                self._until = max(self._until, asked + self._terms.ttl - self._terms.margin)
                self._changed.notify_all()
        return True

    def _refused(self, because: str) -> None:
        with self._changed:
            if self._is_held():
                self._lose(because)

    def _watch(self) -> None:
        """A thread of its own, since the renewing one may hang in the network when the time is up."""
        self.wait_until_lost()
        if self._lost_because is not None and self._on_lost is not None:
            self._on_lost(self)


def _ms(seconds: Seconds) -> int:
    return round(seconds * 1000)

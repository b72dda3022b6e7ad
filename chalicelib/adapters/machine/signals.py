"""Waking waiters: the holder of a lease releases, the next in line goes on at once.

Within a process this goes through events between threads. Between processes of one machine it goes through a datagram
on the loopback interface, to the address that the waiter left in its lease. A lost datagram costs the time until the
waiter's own next check.
"""

from __future__ import annotations

import logging
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from msgspec import Struct, field

_LOOPBACK = "127.0.0.1"
_DATAGRAM_MAX_BYTES = 4096
TURN_MAX_S = 0.25  # longer than a write takes; a caller that waited so long takes the risk of losing a race

_log = logging.getLogger(__name__)


class ThreadBell:
    """A bell that threads wait at."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.event = Event()

    def wait(self, until_ms: int) -> None:
        """Return when rung, or at ``until_ms``."""
        self.event.wait(max(0, until_ms - self._now_ms()) / 1000)
        self.event.clear()


class _Turnstile(Struct):
    lock: Lock = field(default_factory=Lock)
    users: int = 0


class ThreadSignals:
    """Signals between threads of one process."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lock = Lock()
        self._bells: dict[str, list[ThreadBell]] = defaultdict(list)
        self._turnstiles: dict[str, _Turnstile] = {}

    @property
    def address(self) -> str:
        """Other processes cannot ring here."""
        return ""

    @contextmanager
    def bell(self, name: str) -> Iterator[ThreadBell]:
        """Hang up a bell for ``name``."""
        hung = ThreadBell(self._now_ms)
        with self._lock:
            self._bells[name].append(hung)
        try:
            yield hung
        finally:
            with self._lock:
                self._bells[name].remove(hung)
                if not self._bells[name]:
                    del self._bells[name]

    def ring(self, name: str, at: str = "") -> None:
        """Wake the waiters with a bell for ``name`` here; another process cannot be reached."""
        with self._lock:
            for hung in self._bells.get(name, ()):
                hung.event.set()

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Pass one after the other, each waiting TURN_MAX_S at the most."""
        with self._lock:
            turnstile = self._turnstiles.setdefault(name, _Turnstile())
            turnstile.users += 1
        mine = turnstile.lock.acquire(timeout=TURN_MAX_S)
        try:
            yield
        finally:
            if mine:
                turnstile.lock.release()
            with self._lock:
                turnstile.users -= 1
                if turnstile.users == 0:
                    del self._turnstiles[name]


class LoopbackSignals(ThreadSignals):
    """Signals also between the processes of one machine: only for a deployment that is bound to loopback.

    Who can send datagrams there can make waiters read the tables, and nothing else.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        super().__init__(now_ms)
        self._socket: socket.socket | None = None
        self._address = ""
        self._opening = Lock()

    @property
    def address(self) -> str:
        """This process's own ``host:port``; listening begins with the first question. Empty where that fails."""
        if self._socket is None:
            with self._opening:
                if self._socket is None:
                    self._open()
        return self._address

    def ring(self, name: str, at: str = "") -> None:
        """Wake the waiters with a bell for ``name`` in the process at ``at``."""
        host, _, port = at.rpartition(":")
        if not at or at == self._address or host != _LOOPBACK or not port.isdecimal():
            super().ring(name)
            return
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(name.encode(), (host, int(port)))
        except (OSError, OverflowError) as problem:
            _log.debug("no wake-up was sent to %s: %s", at, problem)

    def _open(self) -> None:
        listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            listening.bind((_LOOPBACK, 0))
        except OSError as problem:
            _log.warning("other processes cannot wake waiters of this one: %s", problem)
        else:
            self._address = f"{_LOOPBACK}:{listening.getsockname()[1]}"
            Thread(target=self._listen, args=(listening,), name="wake", daemon=True).start()
        self._socket = listening

    def _listen(self, listening: socket.socket) -> None:
        while True:
            try:
                name = listening.recv(_DATAGRAM_MAX_BYTES)
            except OSError:
                return  # closed
            super().ring(name.decode(errors="replace"))

    def close(self) -> None:
        """Stop listening."""
        if self._socket is not None:
            self._socket.close()

"""Leader election: one of many processes holds a lease, the next takes over when it dies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from chronowatch.leases import Lease, Leases, Seconds, Terms, wait_for

_HOLD_S = 2.0  # one waiting call lasts at most this long, so that ``stop`` is not slower


class Election:
    """A candidate, in a thread of its own, from now until ``stop``.

    ``on_elected(lease)`` runs in that thread once for each term; long work there asks ``lease.held`` as it goes.
    ``on_lost(lease)`` runs once at the end of each term, also after ``stop`` and when ``on_elected`` raised: at once
    when the lease is lost, from another thread if ``on_elected`` is still busy. No two terms of one candidate overlap.
    An exception in either ends the candidacy, gives the lease back and is raised again by ``stop``.
    """

    def __init__(
        self,
        leases: Leases,
        terms: Terms,
        clock: Callable[[], Seconds],
        on_elected: Callable[[Lease], object],
        on_lost: Callable[[Lease], object],
    ) -> None:
        self._leases, self._terms, self._clock = leases, terms, clock
        self._on_elected, self._on_lost = on_elected, on_lost
        self._stop = threading.Event()
        self._term: Lease | None = None
        self._ending = _Ending(on_lost)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"elect {terms.name}", daemon=True)
        self._thread.start()

    @property
    def leader(self) -> bool:
        """Whether this process may act as the leader now."""
        term = self._term
        return term is not None and term.held

    def stop(self) -> None:
        """Stand no more: end the term (``on_lost``, then the release) and wait for that. Raises what a callback raised.

        Called from a callback it only asks for the end, which cannot come before the callback returns.
        """
        self._stop.set()
        term = self._term
        if term is not None:
            term.wake()
        if threading.current_thread() in (self._thread, self._ending.thread):
            return
        self._thread.join()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Election:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._serve_one_term()
        except BaseException as error:  # no other thread would see it: ``stop`` raises it
            self._error = error

    def _serve_one_term(self) -> None:
        grant = wait_for(self._leases, self._terms, self._clock, wait=None, hold=_HOLD_S, stop=self._stop)
        if grant is None:
            return
        ending = self._ending = _Ending(self._on_lost)
        lease = self._term = Lease(self._leases, self._terms, grant, self._clock, ending)
        if self._stop.is_set():
            self._term = None
            lease.release()
            return
        try:
            self._on_elected(lease)
            lease.wait_until_lost(stop=self._stop)
        finally:
            self._term = None
            try:
                ending(lease)  # before the release: what the leader did must end before another begins
            finally:
                lease.release()
        if ending.error is not None:
            raise ending.error


class _Ending:
    """Calls ``on_lost`` for the thread that comes first, and lets the second wait until it is done."""

    def __init__(self, on_lost: Callable[[Lease], object]) -> None:
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._called = False
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None

    def __call__(self, lease: Lease) -> None:
        with self._lock:
            if self._called:
                return
            self._called = True
            self.thread = threading.current_thread()
            try:
                self._on_lost(lease)
            except BaseException as error:  # the watching thread has no caller; the term's thread raises it
                self.error = error
            finally:
                self.thread = None

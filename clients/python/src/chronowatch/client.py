"""The door: one ``Client`` for one service."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from chronowatch import ticks
from chronowatch.election import Election
from chronowatch.leases import Lease, Leases, Seconds, Terms, default_margin, elapsed_clock, new_holder_id, wait_for
from chronowatch.resources import Nouns
from chronowatch.transport import Headers, Retries, Transport

if TYPE_CHECKING:
    from chronowatch import models

_POLL_S = 0.5


class Client(Nouns):
    """A ChronoWatch service. Thread-safe; durations are in seconds."""

    def __init__(
        self,
        base_url: str,
        *,
        headers: Headers | None = None,
        timeout: Seconds = 10.0,
        retries: Retries | None = None,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], Seconds] | None = None,
    ) -> None:
        """``headers`` carry the credentials; a function is asked before every call, for tokens that expire.

        ``clock`` is what leases are counted by: any clock that never steps. Raises ValueError for a wrong URL.
        """
        self._transport = Transport(base_url, headers or {}, timeout, retries or Retries(), ssl_context)
        self._clock = clock or elapsed_clock()
        super().__init__(self._transport)
        self.leases = Leases(self._transport)

    def lease(
        self,
        name: str,
        *,
        ttl: Seconds = 15.0,
        wait: Seconds | None = None,
        holder_id: str | None = None,
        margin: Seconds | None = None,
        metadata: Mapping[str, Any] | None = None,
        on_lost: Callable[[Lease], object] | None = None,
    ) -> Lease:
        """Wait for the lease and hold it: ``with client.lease("nightly") as lease: …``.

        ``wait`` None waits for ever, 0 asks once. ``margin`` is how long before the end of ``ttl`` this process stops
        believing (default: a tenth of it, at most 1 s); it covers how differently fast the two clocks run.
        Raises NotAcquired, ApiError, Unreachable.
        """
        terms = self._terms(name, ttl, holder_id, margin, metadata)
        grant = wait_for(self.leases, terms, self._clock, wait=wait)
        assert grant is not None, "this wait has no way to be stopped"
        return Lease(self.leases, terms, grant, self._clock, on_lost)

    def elect(
        self,
        name: str,
        on_elected: Callable[[Lease], object],
        on_lost: Callable[[Lease], object],
        *,
        ttl: Seconds = 15.0,
        holder_id: str | None = None,
        margin: Seconds | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Election:
        """Stand for election from now until ``stop`` of what this returns; see ``Election`` for the callbacks."""
        terms = self._terms(name, ttl, holder_id, margin, metadata)
        return Election(self.leases, terms, self._clock, on_elected, on_lost)

    def ticks(
        self,
        frequency: ticks.Frequency,
        after_sequence: int = 0,
        *,
        follow: bool = True,
        limit: int = 100,
        stop: threading.Event | None = None,
    ) -> Iterator[ticks.Tick]:
        """Ticks after ``after_sequence``, each once and in order; remember the last ``sequence`` to go on from there.

        With ``follow`` the iterator waits for new ones until ``stop`` is set; without, it ends at the newest.
        """
        return ticks.stream(self._transport, frequency, after_sequence, follow=follow, limit=limit, stop=stop)

    def watch(
        self, *, types: str | None = None, after: str | None = None, stop: threading.Event | None = None
    ) -> Iterator[models.ChangeView]:
        """Changes of executions, schedules, leases and runs after a position, each once and in order, until ``stop``.

        ``types`` is some of them, by commas. Without ``after`` it begins now; remember the last ``position`` to go on.
        """
        stop = stop or threading.Event()
        while not stop.is_set():
            query = {"after": after, "types": types, "limit": 100}
            page = self._transport.call("GET", "/api/v1/changes", query=query)
            yield from page["items"]
            after = page["next_after"]
            if not page["items"]:
                stop.wait(_POLL_S)

    def close(self) -> None:
        """Close the idle connections. Leases still held go on, on new ones."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _terms(
        name: str, ttl: Seconds, holder_id: str | None, margin: Seconds | None, metadata: Mapping[str, Any] | None
    ) -> Terms:
        return Terms(
            name, holder_id or new_holder_id(), ttl, default_margin(ttl) if margin is None else margin, metadata
        )

"""The client for programs of asyncio: the same calls, awaited."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any

from chronowatch import ticks
from chronowatch.async_resources import AsyncNouns
from chronowatch.calling import in_thread, stepwise
from chronowatch.client import Client
from chronowatch.leases import Answer, Lease, Leases, Seconds, Validity
from chronowatch.transport import Headers, Retries

_CONCURRENCY = 32


class AsyncClient(AsyncNouns):
    """A ChronoWatch service. Calls run in threads of its own, at most ``concurrency`` at a time."""

    def __init__(
        self,
        base_url: str,
        *,
        headers: Headers | None = None,
        timeout: Seconds = 10.0,
        retries: Retries | None = None,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], Seconds] | None = None,
        concurrency: int = _CONCURRENCY,
    ) -> None:
        """As ``Client``."""
        self._client = Client(
            base_url, headers=headers, timeout=timeout, retries=retries, ssl_context=ssl_context, clock=clock
        )
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="chronowatch")
        super().__init__(self._client._transport, self._pool)
        self.leases = AsyncLeases(self._client.leases, self._pool)

    def lease(self, name: str, **how: Any) -> HeldLease:
        """Wait for the lease and hold it: ``async with client.lease("nightly") as lease: …``. See ``Client.lease``."""
        return HeldLease(partial(self._client.lease, name, **how), self._pool)

    def ticks(
        self, frequency: ticks.Frequency, after_sequence: int = 0, *, follow: bool = True, limit: int = 100
    ) -> AsyncIterator[ticks.Tick]:
        """Ticks after ``after_sequence``, each once and in order."""
        return stepwise(self._pool, self._client.ticks(frequency, after_sequence, follow=follow, limit=limit))

    def watch(self, *, types: str | None = None, after: str | None = None) -> AsyncIterator[Mapping[str, Any]]:
        """Changes after a position, each once and in order."""
        return stepwise(self._pool, self._client.watch(types=types, after=after))

    async def aclose(self) -> None:
        """Close the idle connections, and wait for no call that is under way."""
        self._client.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class HeldLease:
    """A lease while its ``async with`` block runs. The block is given the ``Lease``, whose questions never wait."""

    def __init__(self, acquire: Callable[[], Lease], pool: ThreadPoolExecutor) -> None:
        self._acquire, self._pool = acquire, pool
        self._lease: Lease | None = None

    async def __aenter__(self) -> Lease:
        self._lease = await in_thread(self._pool, self._acquire)
        return self._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._lease is not None, "the block was entered"
        await in_thread(self._pool, partial(self._lease.__exit__, kind, error, trace))


class AsyncLeases:
    """The calls themselves, as ``Leases``; durations in seconds."""

    def __init__(self, leases: Leases, pool: ThreadPoolExecutor) -> None:
        self._leases, self._pool = leases, pool

    async def acquire(
        self,
        name: str,
        holder_id: str,
        ttl: Seconds,
        *,
        wait: Seconds = 0,
        metadata: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Ask once; held by the service up to ``wait`` (25 s at most)."""
        call = partial(self._leases.acquire, name, holder_id, ttl, wait=wait, metadata=metadata)
        return await in_thread(self._pool, call)

    async def renew(self, name: str, holder_id: str, fencing_token: int, ttl: Seconds | None = None) -> Answer:
        """Extend. Raises LeaseNotHeld for anyone but the holder with its token."""
        return await in_thread(self._pool, partial(self._leases.renew, name, holder_id, fencing_token, ttl))

    async def release(self, name: str, holder_id: str, fencing_token: int) -> None:
        """Give it back; repeating it succeeds. Raises LeaseNotHeld."""
        await in_thread(self._pool, partial(self._leases.release, name, holder_id, fencing_token))

    async def validate(self, name: str, fencing_token: int) -> Validity:
        """Whether the token is the live holder's."""
        return await in_thread(self._pool, partial(self._leases.validate, name, fencing_token))

    async def break_(self, name: str) -> None:
        """Take it from its holder (admin)."""
        await in_thread(self._pool, partial(self._leases.break_, name))

    async def get(self, name: str) -> dict[str, Any]:
        """The lease as the service shows it. Raises NotFound for a name that was never leased."""
        return await in_thread(self._pool, partial(self._leases.get, name))

    def list(self) -> AsyncIterator[dict[str, Any]]:
        """Every lease of the tenant."""
        return stepwise(self._pool, self._leases.list())

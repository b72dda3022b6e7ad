"""What the server knows of the caller's connection: where it comes from, whether it still stands, and whether an answer
may be a stream.

Kept beside the call, in the context of its thread, since Chalice's gateway hands on nothing but the request, and takes
nothing but whole answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Protocol

from msgspec import Struct


def _always_here() -> bool:
    return False


_gone: ContextVar[Callable[[], bool]] = ContextVar("gone", default=_always_here)


_ended: ContextVar[Callable[[], bool]] = ContextVar("ended", default=_always_here)
_peer: ContextVar[str | None] = ContextVar("peer", default=None)


def caller_is_gone() -> Callable[[], bool]:
    """Asks whether the caller of the present request has hung up, or may no longer be answered since their credential
    has ended. Always no where neither is known."""
    gone, ended = _gone.get(), _ended.get()
    return lambda: gone() or ended()


def watch(gone: Callable[[], bool] | None, peer: str | None = None) -> None:
    """From here on, requests on this thread belong to a connection; ``gone`` says whether it has ended, ``peer`` is the
    address at its other end."""
    _gone.set(gone or _always_here)
    _ended.set(_always_here)
    _peer.set(peer)


def end_when(ended: Callable[[], bool] | None) -> None:
    """``ended`` says whether the credential of the present request's caller has ended (None: it never does)."""
    _ended.set(ended or _always_here)


def peer() -> str | None:
    """The address at the other end of the present request's connection; None where the server does not know it."""
    return _peer.get()


class Chunks(Protocol):
    """A body in pieces; ``close`` is called in the end, also when no piece was ever asked for."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class StreamSlot(Struct):
    """Where a call leaves the body that is to be streamed in the place of its answer's own."""

    chunks: Chunks | None = None


_slot: ContextVar[StreamSlot | None] = ContextVar("slot", default=None)


def stream_slot() -> StreamSlot | None:
    """The present request's slot; None where answers must be whole, as on API Gateway."""
    return _slot.get()


def offer_stream(slot: StreamSlot | None) -> None:
    """From here on, requests on this thread may leave a stream in ``slot`` (None: they may not)."""
    _slot.set(slot)

"""What the server knows of a caller's connection.

It knows whether the connection still stands, who is at its other end, and whether an answer may be a stream.

Kept beside the call, in the context of its thread, since Chalice's gateway hands on nothing but the request, and takes
nothing but whole answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from msgspec import Struct

from chalicelib.process.bell import NewsBell


class ClientCertificate(Struct, frozen=True):
    """The certificate that a caller proved to own in the handshake of TLS, verified against the deployment's own CA.

    ``subject`` is as RFC 4514 writes it, the most specific part first. ``dns``, ``uris``, ``emails`` and ``addresses``
    are its alternative names; ``serial`` is hexadecimal.
    """

    subject: str
    issuer: str = ""
    serial: str = ""
    dns: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


def _always_here() -> bool:
    return False


class CallerConnection(Struct, frozen=True):
    """One caller's connection. ``address`` is the other end's, as the socket says it; empty where it is not known.
    ``gives_up``: a caller that is gone has ended its call, and not only lost its connection: it wants nothing more."""

    gone: Callable[[], bool] = _always_here
    address: str = ""
    client_certificate: ClientCertificate | None = None
    gives_up: bool = False


class EventSource(Protocol):
    """A body in pieces, for a server that streams."""

    def step(self) -> Step:
        """What there is to send by now. It may read tables; two threads never call it at once."""
        ...

    def close(self) -> None:
        """Called in the end, also when no piece was ever asked for."""
        ...


class Step(Struct, frozen=True):
    """A piece of a body, and how long until there may be more; ``wait_s`` None: that was all. With a ``bell`` there may
    be more as soon as it has rung another time than ``heard``."""

    piece: bytes
    wait_s: float | None
    bell: NewsBell | None = None
    heard: int = 0


class StreamSlot(Struct):
    """Where a call leaves the body that is to be streamed in the place of its answer's own."""

    source: EventSource | None = None


_NOWHERE = CallerConnection()
_connection: ContextVar[CallerConnection] = ContextVar("connection", default=_NOWHERE)
_ended: ContextVar[Callable[[], bool]] = ContextVar("ended", default=_always_here)
_slot: ContextVar[StreamSlot | None] = ContextVar("slot", default=None)
_hold_ms: ContextVar[int] = ContextVar("hold_ms", default=0)


def current() -> CallerConnection:
    """The connection of the present request."""
    return _connection.get()


def caller_is_gone() -> Callable[[], bool]:
    """Asks whether the caller of the present request has hung up, or may no longer be answered since their credential
    has ended. Always no where neither is known."""
    gone, ended = _connection.get().gone, _ended.get()
    return lambda: gone() or ended()


def end_when(ended: Callable[[], bool] | None) -> None:
    """``ended`` says whether the credential of the present request's caller has ended (None: it never does)."""
    _ended.set(ended or _always_here)


def stream_slot() -> StreamSlot | None:
    """The present request's slot; None where answers must be whole, as on API Gateway."""
    return _slot.get()


@contextmanager
def serving(connection: CallerConnection, slot: StreamSlot | None = None) -> Iterator[None]:
    """Within the block, requests on this thread come from ``connection``, and may leave a stream in ``slot``."""
    here, there, credential = _connection.set(connection), _slot.set(slot), _ended.set(_always_here)
    try:
        yield
    finally:
        _connection.reset(here)
        _slot.reset(there)
        _ended.reset(credential)


def hold_ms() -> int:
    """For how long a whole answer of a stream may be held until there is something; 0 where nothing waits."""
    return _hold_ms.get()


@contextmanager
def holding(ms: int) -> Iterator[None]:
    """Within the block, whole answers of streams may be held for so long."""
    before = _hold_ms.set(ms)
    try:
        yield
    finally:
        _hold_ms.reset(before)

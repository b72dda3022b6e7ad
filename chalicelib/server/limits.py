"""Bounds of the HTTP server: what one connection, and all together, may take of a process.

Names have their units last; the relations between bounds are asserted beside them.
"""

from __future__ import annotations

from typing import NamedTuple

from chalicelib.core.leases.limits import LEASE_WAIT_MAX_MS
from chalicelib.core.limits import BODY_MAX_BYTES
from chalicelib.process.limits import CHANGE_STREAMS_MAX, LEASE_HELD_CALLS_MAX, TICK_STREAMS_MAX

CONNECTIONS_MAX = 10_000  # open at once; further ones are answered 503
BACKLOG = 1_024
THREADS = 32  # calls that are worked on at once
QUEUED_CALLS_MAX = 1_000  # calls that wait for one of these threads; further ones are answered 503
HELD_THREADS = LEASE_HELD_CALLS_MAX + 16  # calls that may be held have threads of their own; some are always free
STREAM_THREADS = 2  # they ask the streams that are due for what there is; no stream keeps one
STREAM_BATCH = 128  # streams whose pieces are written before others get their turn
TARGET_MAX_BYTES = 16 * 1024  # path and query
HEAD_MAX_BYTES = 64 * 1024  # request line and headers
# A caller that sends more than a body may have is answered at once. So much more is read and dropped, so that it gets
# to read the answer; past this the connection ends.
READ_MAX_BYTES = 64 * 1024 * 1024
PIPELINED_MAX = 8  # requests read ahead on one connection; a caller that hangs up is noticed behind them
HANDSHAKE_TIMEOUT_S = 10.0
DRAIN_S = 3.0  # how long a stop waits for calls that are under way
CERTIFICATES_CHECK_S = 1.0  # how soon changed certificate files are noticed
SOCKET_MESSAGE_MAX_BYTES = 128 * 1024  # of a WebSocket, as behind API Gateway


class Patience(NamedTuple):
    """How long a connection may take, in seconds.

    ``head_s`` is from the first byte of a request to the end of its headers. ``body_s`` is from there to the end of
    its body, and ``idle_s`` between two requests. In ``stall_s`` a caller must take something of an answer that is
    ready. For ``linger_s`` after the last answer what still comes is read and dropped.
    """

    head_s: float = 15.0
    body_s: float = 30.0
    idle_s: float = 120.0
    stall_s: float = 60.0
    linger_s: float = 2.0


def patience(read_ms: int, write_ms: int) -> Patience:
    """With a deployment's own bounds for reading a request, and for a caller that does not take its answer."""
    return Patience(head_s=min(Patience().head_s, read_ms / 1000), body_s=read_ms / 1000, stall_s=write_ms / 1000)


assert TARGET_MAX_BYTES < HEAD_MAX_BYTES < BODY_MAX_BYTES < READ_MAX_BYTES
assert TICK_STREAMS_MAX + CHANGE_STREAMS_MAX + HELD_THREADS + THREADS < CONNECTIONS_MAX, (
    "streams leave connections for calls"
)
assert Patience().idle_s * 1000 > LEASE_WAIT_MAX_MS

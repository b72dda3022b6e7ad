"""Bounds of the gRPC server."""

from __future__ import annotations

from typing import Final

CALLS_MAX: Final = 32  # calls at work at one time
HELD_MAX: Final = 256  # calls that wait for a lease; a further one is answered at once
STREAMS_MAX: Final = 256  # streams of changes; a further one is refused
MESSAGE_SPARE_BYTES: Final = 16_384  # what a message has around its payload
DRAIN_S: Final = 6.0
QUIET_S: Final = 0.2  # without a new call: then none waits to be handed on
HEALTH_EVERY_S: Final = 1.0  # while a caller watches it; an answer may be as old
WATCH_POLL_S: Final = 0.25  # how long a change may wait for its stream
WATCH_PAGE: Final = 100

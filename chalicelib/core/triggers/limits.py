"""Bounds of triggers. Names have their units last; the relations between bounds are asserted beside them."""

from __future__ import annotations

from typing import Final

from chalicelib.core.schedules.limits import PAYLOAD_MAX_BYTES

EVENT_MAX_BYTES: Final = PAYLOAD_MAX_BYTES  # an event is the payload of what it fires
POISON_KEPT_BYTES: Final = 32 * 1024  # of a message that is no event, in its dead letter
ATTRIBUTE_MAX_CHARS: Final = 2_048
CEL_MAX_CHARS: Final = 4_096
WINDOW_MAX_MS: Final = 31 * 86_400_000
KEY_RETENTION_S: Final = 60  # beyond its window, for clocks that differ
WAIT_MAX_MS: Final = 31 * 86_400_000  # debounce, absence
THROTTLE_MAX: Final = 1_000
THROTTLE_PER_MAX_MS: Final = 86_400_000
RECENT_KEPT: Final = 128  # events that a watch remembers, so that one that comes again changes nothing
SOURCE_TEXT_MAX_CHARS: Final = 2_048
SERVERS_MAX_COUNT: Final = 20
DEPTH_MAX: Final = 10

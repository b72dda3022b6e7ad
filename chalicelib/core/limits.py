"""Bounds that every noun shares: bodies, pages, instants. Each noun has its own beside it.

Names have their units last; the relations between bounds are asserted beside them.
"""

from __future__ import annotations

BODY_MAX_BYTES = 256 * 1024
PAGE_DEFAULT_ITEMS = 50
PAGE_MAX_ITEMS = 100
JSON_MAX_DEPTH = 64
PAGE_TOKEN_MAX_CHARS = 2048
SECOND_MS = 1000
INSTANT_MAX_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z: the last instant that RFC 3339 can write
DURATION_MAX_MS = 366 * 86_400_000
SWEEP_PERIOD_MS = 60_000  # how often the minute rule calls
MESSAGE_MAX_INSTANTS = 25
QUEUE_HIDES_S = 60  # a received message, until it comes again or is hidden for another time
QUEUE_DELAY_MAX_S = 900  # what every queue can hold a message back for; what is due later comes early, and again
OWNER_MAX_CHARS = 128

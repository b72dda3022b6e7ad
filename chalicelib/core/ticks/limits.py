"""Bounds of tick streams.

Names have their units last; the relations between bounds are asserted beside them.
"""

from __future__ import annotations

from chalicelib.core.limits import QUEUE_DELAY_MAX_S, SWEEP_PERIOD_MS

SEQUENCE_MAX = 10**15 - 1  # thirty million years of seconds
TICK_CATCH_UP_MAX_COUNT = 60  # boundaries missed in an outage that are emitted late; older ones become a gap
TICK_CATCH_UP_LIMIT_COUNT = 3_600  # the most that a deployment can ask for
# How far ahead of their instants ticks get their numbers: a producer that died after numbering is followed by the next
# sweep with a minute to spare.
TICK_RESERVE_AHEAD_MS = 180_000
TICK_RESERVE_MAX_COUNT = 600  # numbers that one stream gets in one write; further ones in the next
TICK_GRACE_MS = 1_000  # a boundary numbered this long after its instant still counts as on time
TICK_START_MS = 1_000  # a stream that starts leaves out what is nearer than this: it could not be published in time
TICK_FINISH_AFTER_MS = 10_000  # numbers given this long ago and not queued are another producer's to queue
TICK_OPEN_BEFORE_MS = 500  # so long before its instant a tick is judged against the book, and opened
TICK_OPEN_AHEAD_MS = 1_000  # who opens a tick opens what is due so soon after it: fewer reads and writes
TICK_END_MAX_MS = 2_000  # a stream that is stopped ends so soon
TICK_TAIL_MS = 300_000  # ticks of the last minutes are read from the book, older ones from pages
TICK_RETRY_MAX_MS = 600_000  # a tick that no destination took this long after its instant is a dead letter
TICK_TARGET_TIMEOUT_MS = 5_000  # a target of ticks that takes longer to answer has failed
TICK_CLOCK_AHEAD_MAX_MS = 60_000  # a clock further ahead of what the tables say must not number ticks
TICK_STREAM_MAX_MS = 300_000  # how long one lives; the subscriber then comes back with its last number
TICK_STREAM_LAG_MAX_COUNT = 60  # a slow subscriber that lies further behind loses the oldest, and is notified
TICK_KEEPALIVE_MS = 15_000  # a subscription is never silent for longer

assert TICK_RESERVE_AHEAD_MS >= 3 * SWEEP_PERIOD_MS, "one sweep may die, and the next is still early enough"
assert TICK_OPEN_BEFORE_MS + TICK_OPEN_AHEAD_MS < TICK_END_MAX_MS, "what is open when a stream is stopped still comes"
assert TICK_RESERVE_AHEAD_MS <= QUEUE_DELAY_MAX_S * 1000, "the queue must be able to hold ticks back"
assert TICK_RESERVE_MAX_COUNT > (TICK_RESERVE_AHEAD_MS + TICK_GRACE_MS) // 1000 + TICK_CATCH_UP_MAX_COUNT

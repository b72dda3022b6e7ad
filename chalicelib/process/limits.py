"""Bounds of what one process does at once.

Names have their units last; the relations between bounds are asserted beside them.
"""

from __future__ import annotations

from chalicelib.core.executions.limits import ATTEMPT_LEASE_MS

CALLS_MAX = 512  # calls to targets that one process has under way; an owner never takes more than half
RECHECK_AHEAD_MIN_MS = 8  # a recheck begins at least so long before its instant: nearly all are over by then
SHARED_AHEAD_MS = 5  # and one that neighbours share so long: the last of them comes to it RECHECK_AHEAD_MIN_MS before
SENDING_MAX = 3  # of them, those that are busy sending: more would only compete for the processor
WATCHED_TOGETHER = 25  # deliveries that one thread sees to their end, and writes down together
SENDING_MS = 5  # one that has not sent by then waits for the network, and is not counted as busy
GIVE_WAY_MAX_MS = 100  # what has ended is written at most so much later while others wait to be sent
GIVE_WAY_STEP_MS = 20
HOLD_MAX_MS = 10_000  # a delivery waits at most so long in a worker for its turn; then the queue holds it back
RENEW_AFTER_MS = 1_250  # the claim of one that waited this long is renewed, for as long as it may wait
HOLD_RECHECK_MS = 1_000  # one that waited this long checks again whether its schedule was changed
POSTPONE_MIN_MS = 2_000  # how long the queue holds back what had to wait too long, at least
POSTPONE_MAX_MS = 60_000  # and at most: what was in its way may end sooner than was expected
IN_FLIGHT_LIMIT_MAX = 100_000  # limits that deployments choose: deliveries at once, and beginnings in a second
LEASE_HELD_CALLS_MAX = 96  # acquire calls that one process holds open; further ones are answered at once
TICK_STREAMS_MAX = 4_000  # subscriptions that one server process holds open; none has a thread
CHANGE_STREAMS_MAX = 2_000  # subscriptions to tasks, likewise
KEYS_REMEMBERED_MAX = 4096  # API keys that one process remembers
KEYS_UNKNOWN_MAX = 1024  # and ids of which it remembers that there is no such key
LEAK_REPORTS_PER_MINUTE = 60  # keys that one process looks up for reports of leaks; a wrong checksum is free

assert HOLD_RECHECK_MS < RENEW_AFTER_MS < ATTEMPT_LEASE_MS, "a claim is renewed before it runs out"
assert HOLD_RECHECK_MS < HOLD_MAX_MS
assert SHARED_AHEAD_MS < RECHECK_AHEAD_MIN_MS
assert POSTPONE_MIN_MS < POSTPONE_MAX_MS
# How old the policies may be that a lease is judged by: to read their epoch would double the cost of an acquire.
POLICIES_MEMORY_MS = 1_000
# From so many instants in a second on, those within so many milliseconds are sent together, at the last of them.
SHARED_INSTANTS = ((400, 20), (250, 10))
SHARED_SECONDS_MAX = 128  # seconds whose instants one process counts

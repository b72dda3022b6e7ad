"""Every bound of the service, named, units last, with the relations between them asserted beside them."""

from __future__ import annotations

# -- requests
BODY_MAX_BYTES = 256 * 1024
PAYLOAD_MAX_BYTES = 64 * 1024
PAGE_DEFAULT_ITEMS = 50
PAGE_MAX_ITEMS = 100
PREVIEW_DEFAULT_COUNT = 10
PREVIEW_MAX_COUNT = 1000
JSON_MAX_DEPTH = 64
PAGE_TOKEN_MAX_CHARS = 2048

SECOND_MS = 1000

# -- schedules
NAME_MAX_CHARS = 128
TAGS_MAX_COUNT = 20
TAG_MAX_CHARS = 64
OWNER_MAX_CHARS = 128
SHARD_KEY_MAX_CHARS = 128
NOTE_MAX_CHARS = 512
EXPR_MAX_CHARS = 1024
URL_MAX_CHARS = 2048
SHARDS_DEFAULT = 16
SHARDS_MAX = 256
RATE_MIN_MS = 1000
JITTER_MAX_MS = 86_400_000
BACKFILL_MAX_INSTANTS = 1_000
LEDGER_MAX_ITEMS = 1_000
SLA_DEFAULT_MS = 1000
CATCH_UP_DEFAULT_MS = 60_000
TIMEOUT_DEFAULT_MS = 300_000
INSTANT_MAX_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z: the last instant that RFC 3339 can write
DURATION_MAX_MS = 366 * 86_400_000
RUNS_MAX = 1_000_000_000  # max_runs
JITTER_MAX_MS = 86_400_000
RETRY_MAX_ATTEMPTS = 100
MONITOR_WINDOW_MIN_MS = 60_000  # silences are looked for once a minute
MONITOR_LOOK_RECORDS = (10, 90)  # the newest executions that a look reads, and then, before it calls them silent
MONITOR_COMPLETED_KEPT_MS = 86_400_000  # how long the watch of a completed schedule is kept
FAILURES_IN_ROW_MAX = 1_000  # pause_after_failures
FAILURE_PAUSES_KEPT = 3  # of a schedule, so that each is told of though it was resumed at once
FAILURES_LOOK_MAX_RECORDS = 5_000  # how far back one look counts: skipped instants lie between the failures
TARGET_NAME_MAX_CHARS = 512  # buses, ARNs, group ids, secret names
WEBHOOK_TIMEOUT_DEFAULT_MS = 30_000
WEBHOOK_TIMEOUT_MAX_MS = 900_000  # a Lambda cannot wait longer
VERSIONS_INLINE_MAX = 8  # versions named in the state item; older ones are found by their snapshot

# -- many schedules at once
BATCH_MAX_OPERATIONS = 100
TAG_CHANGE_MAX_SCHEDULES = 1_000  # schedules that one call by tag changes, or shows
TAG_CHANGE_BUDGET_MS = 20_000  # API Gateway gives up at 29 s
TAG_PREVIEW_RUNS = 3
EXPORT_MAX_SCHEDULES = 1_000
EXPORT_MAX_BYTES = 4 * 1024 * 1024  # a Lambda answers with 6 MB at most
IMPORT_MAX_SCHEDULES = 500

# -- the way of a firing
HORIZON_MS = 120_000  # how far ahead of their instants firings are put on the queue
SWEEP_PERIOD_MS = 60_000  # how often the minute rule calls
MESSAGE_SPAN_MS = 10_000  # the instants of one message lie within this span
MESSAGE_MAX_INSTANTS = 25
SQS_DELAY_MAX_S = 900
SQS_BATCH_MAX = 10
EVENTS_BATCH_MAX = 10
STATEMENTS_MAX = 25  # writes in one batch call
LIST_SCAN_MAX_ITEMS = 1_000  # index entries that one filtered list call looks at
BATCH_GET_MAX = 100  # reads in one batch call
LOST_AFTER_MS = 300_000  # an owed instant without a record this long past it is called lost
UNKNOWN_VERSION_GRACE_MS = 60_000  # a message of an unknown version is kept this long past its instant
ATTEMPT_LEASE_MS = 20_000  # how long past its instant a claim protects an attempt nobody has marked as running
RUNNING_MARK_MS = 100  # a delivery still running after this is written down as in_progress
SETTLE_MAX_INSTANTS = 1_000  # overdue instants handled in one step of a sweep or an edit
WATCH_STEPS_MS = (500, 1_000, 2_000, 5_000)  # after which times a running delivery is looked at for a cancel
NOTICE_TIMEOUT_MS = 10_000  # how long a target may take to answer a cancel event
CATCH_UP_LATE_MS = 2_000  # a firing later than this at its claim is caught up: it waits for a slot
CATCH_UP_PER_MINUTE = 60
CATCH_UP_PER_MINUTE_MAX = 60_000
PREPARE_MAX_MS = 500  # of preparing one owner's firings of a batch; slow names must not make others late
FLIGHTS_MAX = 512  # calls to targets that one process has under way; an owner never takes more than half
PASSING_MAX = 2  # groups of firings looked at once more at the same moment, right before they depart
SENDING_MAX = 3  # of them, those that are busy sending: more would only compete for the processor
SENDING_MS = 5  # one that has not sent by then waits for the network, and is not counted as busy
HOLD_MAX_MS = 10_000  # a delivery waits at most so long in a worker for its turn; then the queue holds it back
HOLD_LOOK_MS = 1_000  # one that waited this long looks again whether its schedule was changed
POSTPONE_MIN_MS = 2_000  # how long the queue holds back what had to wait too long, at least
POSTPONE_MAX_MS = 60_000  # and at most: what was in its way may end sooner than it looked
IN_FLIGHT_LIMIT_MAX = 100_000  # limits that deployments choose: deliveries at once, and beginnings in a second
WAITER_LOOK_MS = 30_000  # an execution that waits for its turn and was not woken is looked at after this
FEED_LAG_MAX_MS = 10_000  # by how much two clocks may disagree about what came before a pause

# -- executions
ERROR_MAX_CHARS = 500
LOG_LINES_MAX = 1_000  # of one execution
LOG_MESSAGE_MAX_CHARS = 4_096
RETRY_AFTER_MAX_MS = 86_400_000  # the longest wait that a target can ask for
HISTORY_RETENTION_S = 30 * 86_400
IDEMPOTENCY_RETENTION_S = 86_400
IDEMPOTENCY_KEY_MAX_CHARS = 255
IDEMPOTENCY_RUNNING_MAX_MS = 60_000  # a first call older than this has died: no process may work on a call for longer

# -- time
HLC_GRACE_MS = 500  # an incoming stamp may be this much further ahead than the drift bound before it is refused
HLC_LOGICAL_MAX = 65_535  # 16 bits, so that a stamp fits in 64
DRIFT_SAMPLES_MAX = 128  # wall and monotonic readings the drift watch remembers
DRIFT_SAMPLE_EVERY_MS = 1000  # so that the readings remembered span minutes, however busy the service
DRIFT_STEPS_MAX = 16  # steps of the wall clock that are remembered
OBSERVE_EVERY_MS = 1000  # how often one source of true time is listened to
QUARTZ_PPM = 200  # how fast or slow an unwatched clock may run (Spanner's figure)
OBSERVATIONS_MAX = 64  # readings of true time that bound the error of the wall clock

# -- leases
LEASE_TTL_MIN_MS = 100
LEASE_TTL_MAX_MS = 86_400_000
LEASE_WAIT_MAX_MS = 25_000  # how long one acquire call may be held; API Gateway gives up at 29 s
LEASE_HOLDER_MAX_CHARS = 128
LEASE_METADATA_MAX_BYTES = 4 * 1024
FENCING_TOKEN_MAX = (1 << 53) - 1  # no counter of grants gets this far; every reader of JSON is exact up to here
LEASE_WAITERS_MAX = 256  # all waiters live in the lease's one item
LEASE_HELD_CALLS_MAX = 96  # acquire calls that one process holds open; further ones are answered at once
LEASE_POLL_MS = 250  # how often the first waiter looks for a release that nobody told it of
ITEM_MAX_BYTES = 400 * 1024  # DynamoDB's

# -- workers that stay
NODES_MAX = 64  # worker processes of one deployment that run for longer than a call
NODE_TTL_MS = 3_000  # a node that was not heard of for this long is dead, and its shards are taken over
NODE_HEARTBEAT_MS = 1_000
NODE_JOIN_TTL_MS = 30_000  # a node of somebody else's that did not join again for this long is gone
SHARD_LOOK_MS = 5_000  # how often a node looks at all shards although no node came or went
SHARD_CALL_LEASE_MS = 30_000  # half the minute rule's period: what a dead call held is free again by the next
SHARD_NODE_LEASE_MS = 600_000  # a node's shards are judged by the node's life; this is for who cannot see nodes

# -- ticks
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
TICK_TAIL_MS = 300_000  # ticks of the last minutes are read from the book, older ones from pages
TICK_RETRY_MAX_MS = 600_000  # a tick that no destination took this long after its instant is a dead letter
TICK_TARGET_TIMEOUT_MS = 5_000  # a target of ticks that takes longer to answer has failed
TICK_CLOCK_AHEAD_MAX_MS = 60_000  # a clock further ahead of what the tables say must not number ticks
TICK_STREAMS_MAX = 24  # subscriptions that one server process holds open
TICK_STREAM_MAX_MS = 300_000  # how long one lives; the subscriber then comes back with its last number
TICK_STREAM_LAG_MAX_COUNT = 60  # a slow subscriber that lies further behind loses the oldest, and is told
TICK_KEEPALIVE_MS = 15_000  # a subscription is never silent for longer
CLOCK_JUMP_MS = 100  # between two sweeps a wall clock that is slewed moves by a third of this; more is a jump

assert HORIZON_MS >= 2 * SWEEP_PERIOD_MS, "a sweep that comes a minute late must still be early enough"
assert HORIZON_MS <= SQS_DELAY_MAX_S * 1000, "the queue must be able to hold a firing back for the whole horizon"
assert PAYLOAD_MAX_BYTES < BODY_MAX_BYTES
assert FAILURES_LOOK_MAX_RECORDS > FAILURES_IN_ROW_MAX
assert MESSAGE_SPAN_MS < ATTEMPT_LEASE_MS
assert 2 * HOLD_MAX_MS <= ATTEMPT_LEASE_MS, "what waited its time has as long again until its claim runs out"
assert HOLD_LOOK_MS < HOLD_MAX_MS
assert POSTPONE_MIN_MS < POSTPONE_MAX_MS
assert LEASE_POLL_MS < LEASE_WAIT_MAX_MS
assert NODE_TTL_MS >= 3 * NODE_HEARTBEAT_MS, "one heartbeat may be lost and the next be late"
assert NODE_TTL_MS + NODE_HEARTBEAT_MS < 5_000, "a dead node's shards are swept again within five seconds"
assert SHARD_CALL_LEASE_MS <= SWEEP_PERIOD_MS // 2
assert TICK_RESERVE_AHEAD_MS >= 3 * SWEEP_PERIOD_MS, "one sweep may die, and the next is still early enough"
assert TICK_RESERVE_AHEAD_MS <= SQS_DELAY_MAX_S * 1000, "the queue must be able to hold ticks back"
assert TICK_RESERVE_MAX_COUNT > (TICK_RESERVE_AHEAD_MS + TICK_GRACE_MS) // 1000 + TICK_CATCH_UP_MAX_COUNT
assert (
    LEASE_WAITERS_MAX * 4 * (LEASE_HOLDER_MAX_CHARS + OWNER_MAX_CHARS + 64) + LEASE_METADATA_MAX_BYTES < ITEM_MAX_BYTES
)

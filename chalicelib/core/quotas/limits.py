"""Bounds of quotas. Names have their units last; the relations between bounds are asserted beside them."""

from __future__ import annotations

RATE_MAX_PER_S = 100_000  # what a deployment may set
BLOCK_FIRST = 8  # tokens that a process leases at first
BLOCK_MAX = 50  # tokens in a block, unless a twentieth of a second's quota is more
BLOCK_LIFE_US = 5_000_000  # what is not spent by then is void: the demand has ended
BLOCK_BUSY_US = 250_000  # a block that is spent sooner was too small: the next is twice as large
BLOCK_SLACK_US = 500_000  # one that lasts longer is more than its process needs, where others need it
BUSY_PART = 2  # of what the bucket holds, a busy process takes one part in so many
CRUMBS_PART = 4  # less than one part in so many of a round is not left for others
SLACK_PART = 8  # and one that is not busy
SHARE_PART = 8  # how much one lease says of a process's share: one part in so many
ASK_ROUNDS_PER_S = 5  # how often a process asks for tokens of a bucket that is empty
ASK_TRIES = 5  # lost races until a process goes on with its own share for a moment
CONTENDED_PAUSE_US = 100_000
AWAY_PAUSE_US = 1_000_000  # a store that did not answer is left alone for so long
CLOCK_SLACK_US = 5_000_000  # a bucket that is empty for longer than this was written by a clock that is wrong
QUOTA_RETENTION_S = 3_600  # an idle bucket is full within seconds, so its record may go
PRINCIPALS_MAX = 4_096  # whose allowances one process remembers; the idle ones are dropped first

assert BLOCK_FIRST <= BLOCK_MAX
assert 2 * BLOCK_BUSY_US <= BLOCK_SLACK_US < BLOCK_LIFE_US
assert CONTENDED_PAUSE_US < AWAY_PAUSE_US < CLOCK_SLACK_US
assert QUOTA_RETENTION_S * 1_000_000 > CLOCK_SLACK_US

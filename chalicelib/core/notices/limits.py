"""Bounds of notification rules and of what they send."""

from __future__ import annotations

RULES_MAX_COUNT = 100  # of a tenant
CHANNELS_MAX = 10
GROUP_MAX_MS = 3_600_000
QUIET_MAX_MS = 7 * 86_400_000
SEND_ATTEMPTS_MAX = 8
SEND_LEASE_MS = 60_000  # a sender that has not answered for so long is taken for dead
SEND_TIMEOUT_MS = 15_000
BACKOFF_FIRST_MS = 2_000
BACKOFF_MAX_MS = 600_000
SOURCES_KEPT = 200  # what was noted already, so that a repeat of the feed counts nothing twice
INCIDENTS_MAX = 300  # open ones of a rule; the next ones are counted, and named together
NOTICES_MAX = 50  # that wait to be sent
LINES_MAX = 50  # incidents that one message lists one by one
NUMBERS_RAISED = 1 << 32  # at a restore: more than a rule gives out between a backup and its loss
LEDGER_RETENTION_S = 30 * 86_400

QUOTA_NOTED_EVERY_MS = 60_000  # by each process, of each caller
QUOTA_CALM_MS = 600_000  # without a refusal for so long, a caller's incident is over

assert QUOTA_NOTED_EVERY_MS < QUOTA_CALM_MS
assert SEND_TIMEOUT_MS < SEND_LEASE_MS < BACKOFF_MAX_MS

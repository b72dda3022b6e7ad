"""Bounds of monitors of jobs that others run."""

from __future__ import annotations

from chalicelib.core.limits import DURATION_MAX_MS, SECOND_MS

GRACE_MIN_MS = SECOND_MS
GRACE_MAX_MS = DURATION_MAX_MS
MONITORS_MAX_COUNT = 1_000  # of a tenant
PINGS_KEPT = 10
PING_TEXT_MAX_CHARS = 1_000
UNTOLD_MAX = 20  # changes that wait to be announced; beyond that a ping is asked to come again
CROSSINGS_RAISED = 1 << 32  # at a restore: more than a monitor changes between a backup and its loss
CLOCKS_APART_MS = SECOND_MS  # pings that are nearer than this are ordered by their writes
EXIT_CODE_MAX = 255

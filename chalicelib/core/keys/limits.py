"""Bounds of API keys.

Names have their units last; the relations between bounds are asserted beside them.
"""

from __future__ import annotations

KEY_NAME_MAX_CHARS = 128
KEY_CIDRS_MAX = 32
KEYS_MAX = 1000  # of a tenant, with those that ended lately: all their places lie in one item
KEY_OVERLAP_MAX_MS = 30 * 86_400_000
KEY_KEPT_MS = 30 * 86_400_000  # how long a key that has ended is still listed
KEYS_CLEARED_MAX = 20  # of those, so many are cleared away by one change

# Revoking, rotating and expiry hold everywhere within KEY_ENDS_WITHIN_MS.
KEY_ENDS_WITHIN_MS = 30_000
KEY_FRESH_MS = 10_000  # how long a process trusts what it read of a key
KEY_STALE_MAX_MS = 20_000  # and how long at most, while the table cannot be read
STANDING_CHECK_MS = 5_000  # open streams and held calls ask at least so often whether their caller may still be here

KEY_USED_EVERY_MS = 60_000  # the last use of a key is written down at most so often

LEAKED_TOKENS_MAX = 100  # tokens that one report may name

assert KEY_FRESH_MS <= KEY_STALE_MAX_MS
assert KEY_STALE_MAX_MS + STANDING_CHECK_MS < KEY_ENDS_WITHIN_MS, "also for what was asked with the oldest memory"

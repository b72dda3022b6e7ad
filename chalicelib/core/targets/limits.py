"""Bounds of targets and of what they answer.

Names have their units last; the relations between bounds are asserted beside them.
"""

from __future__ import annotations

URL_MAX_CHARS = 2048
TARGET_NAME_MAX_CHARS = 512  # buses, ARNs, group ids, secret names
WEBHOOK_TIMEOUT_DEFAULT_MS = 30_000
WEBHOOK_TIMEOUT_MAX_MS = 900_000  # hosts of functions wait no longer
RETRY_AFTER_MAX_MS = 86_400_000  # the longest wait that a target can ask for
NOTICE_TIMEOUT_MS = 10_000  # how long a target may take to answer a cancel event

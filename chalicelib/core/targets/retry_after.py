"""``Retry-After`` (RFC 9110, section 10.2.3): delay-seconds or an HTTP date."""

from __future__ import annotations

from chalicelib.core import http_date
from chalicelib.core.targets.limits import RETRY_AFTER_MAX_MS


def parse(value: str | None, now_unix_ms: int) -> int | None:
    """Milliseconds to wait from ``now_unix_ms``, or None when the header is absent or unreadable.

    A date in the past means no wait. The answer is bounded by ``RETRY_AFTER_MAX_MS``: a receiver may ask for
    patience, not park an execution for a decade.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        # Eighteen digits are centuries already; more would only make int() work.
        return min(int(text[:18]) * 1000, RETRY_AFTER_MAX_MS)
    at_ms = http_date.parse(text, now_unix_ms)
    return None if at_ms is None else max(0, min(at_ms - now_unix_ms, RETRY_AFTER_MAX_MS))

"""Instants and durations: unix milliseconds in, RFC 3339 out, and back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?"
    r"(?P<offset>[Zz]|(?P<sign>[+-])(?P<hours>\d\d):(?P<minutes>\d\d))?",
    re.ASCII,
)


def to_datetime(unix_ms: int) -> datetime:
    """The aware UTC datetime of ``unix_ms``, exact to the millisecond."""
    return _EPOCH + timedelta(milliseconds=unix_ms)


def to_unix_ms(moment: datetime) -> int:
    """Unix milliseconds of an aware datetime, rounded down."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def to_rfc3339(unix_ms: int) -> str:
    """``2026-11-21T09:20:05.000Z``: always UTC, always three digits of milliseconds."""
    moment = _EPOCH + timedelta(milliseconds=unix_ms)
    return f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"  # without its +00:00


def parse_rfc3339(text: str) -> int:
    """Unix milliseconds of an RFC 3339 timestamp, which must carry its offset; digits beyond them are cut off.

    Nothing that only ISO 8601 knows is taken, such as week dates, ``+0100`` or ``,5``. Raises ValueError with what is
    wrong.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError("must be RFC 3339, such as 2026-12-25T10:00:00Z")
    if found["offset"] is None:
        raise ValueError("must carry its offset: Z or +hh:mm")
    try:
        year, month, day, hour, minute, second = (int(found[part]) for part in range(1, 7))
        seconds = int((datetime(year, month, day, hour, minute, second, tzinfo=UTC) - _EPOCH).total_seconds())
    except ValueError:
        raise ValueError("must be RFC 3339, such as 2026-12-25T10:00:00Z") from None
    ms = int((found[7] or "").ljust(3, "0")[:3])
    if found["sign"] is None:
        return seconds * 1000 + ms
    hours, minutes = int(found["hours"]), int(found["minutes"])
    if hours > 23 or minutes > 59:
        raise ValueError("must be RFC 3339, such as 2026-12-25T10:00:00Z")
    offset_s = (hours * 60 + minutes) * 60
    return (seconds + (offset_s if found["sign"] == "-" else -offset_s)) * 1000 + ms

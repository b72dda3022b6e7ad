"""Instants and durations: unix milliseconds in, RFC 3339 out, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_datetime(unix_ms: int) -> datetime:
    """The aware UTC datetime of ``unix_ms``, exact to the millisecond."""
    return _EPOCH + timedelta(milliseconds=unix_ms)


def to_unix_ms(moment: datetime) -> int:
    """Unix milliseconds of an aware datetime, rounded down."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def to_rfc3339(unix_ms: int) -> str:
    """``2026-11-21T09:20:05.000Z``: always UTC, always three digits of milliseconds."""
    seconds, ms = divmod(unix_ms, 1000)
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def parse_rfc3339(text: str) -> int:
    """Unix milliseconds of an RFC 3339 timestamp, which must carry its offset.

    Raises ValueError with what is wrong.
    """
    if len(text) < 20 or text[10] not in "Tt":
        raise ValueError("must be RFC 3339, such as 2026-12-25T10:00:00Z")
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError("must be RFC 3339, such as 2026-12-25T10:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("must carry its offset: Z or +hh:mm")
    return to_unix_ms(moment)

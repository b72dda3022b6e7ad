"""The instant at which a pause ends by itself."""

from __future__ import annotations

from chalicelib.core.errors import InvalidField


def check_pause_end(until_ms: int | None, now_ms: int) -> None:
    """Refuse one that has passed. Raises InvalidField."""
    if until_ms is not None and until_ms <= now_ms:
        raise InvalidField.of("until_unix_ms", "must be in the future")

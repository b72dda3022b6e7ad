"""HTTP dates (RFC 9110, section 5.6.7): the form that is sent today, and the two that are older than the standard.

Read here and not by ``email.utils``, which raises errors of four kinds on what a peer may send.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from chalicelib.core.instants import to_datetime, to_unix_ms

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}
_TIME: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_ZONE: Final = r" (?:GMT|UTC?|Z|[+-]0000)"
_FORMS: Final = (  # each is compiled at its first use: no start pays for the two that are rare
    rf"[a-z]{{3}}, (?P<day>\d\d?) (?P<month>[a-z]{{3}}) (?P<year>\d{{4}}) {_TIME}{_ZONE}",
    rf"[a-z]{{6,9}}, (?P<day>\d\d)-(?P<month>[a-z]{{3}})-(?P<year>\d\d) {_TIME}{_ZONE}",
    rf"[a-z]{{3}} (?P<month>[a-z]{{3}}) (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
)
_FLAGS: Final = re.ASCII | re.IGNORECASE


def parse(text: str, now_unix_ms: int) -> int | None:
    """Unix milliseconds of an HTTP date, or None when it is none.

    A year of two digits is the one that lies at most fifty years after ``now_unix_ms``.
    """
    found = next((match for form in _FORMS if (match := re.fullmatch(form, text, _FLAGS))), None)
    if found is None or found["month"].lower() not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(found[name]) for name in ("day", "year", "hour", "minute", "second"))
    if len(found["year"]) == 2:
        latest = to_datetime(now_unix_ms).year + 50
        year = latest - (latest - year) % 100
    try:
        moment = datetime(year, _MONTHS[found["month"].lower()], day, hour, minute, min(second, 59), tzinfo=UTC)
    except (KeyError, ValueError):
        return None
    return to_unix_ms(moment) if second <= 60 else None  # 60 is a leap second

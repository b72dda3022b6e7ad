"""Names of zones as people write them: IANA names, ``UTC+3``, abbreviations, cities.

An abbreviation that several zones use stands for all of them, and the caller is asked which.
"""

from __future__ import annotations

import re
import zoneinfo
from functools import lru_cache
from typing import Final

from chalicelib.core.recurrence import zones
from chalicelib.core.words.lexicon import folded

# Two zones stand where both use the letters now and their clocks differ at some time of the year.
_LETTERS: Final = {
    "utc": ("UTC",),
    "gmt": ("UTC",),
    "z": ("UTC",),
    "cst": ("America/Chicago", "Asia/Shanghai", "America/Havana"),
    "ist": ("Asia/Kolkata", "Europe/Dublin", "Asia/Jerusalem"),
    "bst": ("Europe/London", "Asia/Dhaka"),
    "ast": ("America/Halifax", "Asia/Riyadh"),
    "est": ("America/New_York", "America/Panama"),
    "mst": ("America/Denver", "America/Phoenix"),
    "gst": ("Asia/Dubai", "Atlantic/South_Georgia"),
    "pst": ("America/Los_Angeles", "Asia/Manila"),
    "edt": ("America/New_York",),
    "cdt": ("America/Chicago",),
    "mdt": ("America/Denver",),
    "pdt": ("America/Los_Angeles",),
    "cet": ("Europe/Paris",),
    "cest": ("Europe/Paris",),
    "eet": ("Europe/Athens",),
    "eest": ("Europe/Athens",),
    "wet": ("Europe/Lisbon",),
    "west": ("Europe/Lisbon",),
    "msk": ("Europe/Moscow",),
    "мск": ("Europe/Moscow",),
    "jst": ("Asia/Tokyo",),
    "kst": ("Asia/Seoul",),
    "hkt": ("Asia/Hong_Kong",),
    "sgt": ("Asia/Singapore",),
    "aest": ("Australia/Sydney", "Australia/Brisbane"),
    "aedt": ("Australia/Sydney",),
    "nzst": ("Pacific/Auckland",),
    "nzdt": ("Pacific/Auckland",),
    "brt": ("America/Sao_Paulo",),
    "art": ("America/Argentina/Buenos_Aires",),
    "sast": ("Africa/Johannesburg",),
}
_CITIES: Final = {
    "москве": "Europe/Moscow",
    "москва": "Europe/Moscow",
    "московскому": "Europe/Moscow",
    "киеву": "Europe/Kyiv",
    "минску": "Europe/Minsk",
    "берлину": "Europe/Berlin",
    "лондону": "Europe/London",
    "нью-йорку": "America/New_York",
    "brasilia": "America/Sao_Paulo",
    "lisboa": "Europe/Lisbon",
    "ciudad de mexico": "America/Mexico_City",
    "nueva york": "America/New_York",
    "nova york": "America/New_York",
    "londres": "Europe/London",
    "moscu": "Europe/Moscow",
}
_OFFSET: Final = re.compile(r"(?:utc|gmt)([+-])(\d{1,2})", re.ASCII)


def read(text: str) -> tuple[str, ...]:
    """The zones that a name may stand for; none: it is no zone."""
    wanted = folded(text.strip())
    if wanted in _LETTERS:
        return _LETTERS[wanted]
    offset = _OFFSET.fullmatch(wanted)
    if offset is not None:
        hours = int(offset[2])
        # POSIX counts westwards, so the sign in the name is the other one
        return known(f"Etc/GMT{'-' if offset[1] == '+' else '+'}{hours}") if hours else ("UTC",)
    exact = known(text.strip())
    if exact:
        return exact
    if wanted in _CITIES:
        return (_CITIES[wanted],)
    return _by_fold().get(wanted.replace(" ", "_"), ())


def known(name: str) -> tuple[str, ...]:
    """The zone of this very name."""
    try:
        return (zones.zone(name).name,)
    except ValueError:
        return ()


@lru_cache(maxsize=1)
def _by_fold() -> dict[str, tuple[str, ...]]:
    """Names in any case, and the cities that stand last in them, where only one zone has that city."""
    names = sorted(n for n in zoneinfo.available_timezones() if not n.startswith(("posix", "right", "Etc/", "SystemV")))
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        city = folded(name.rpartition("/")[2])
        if "/" in name and len(city) > 3:
            found[city] = (*found.get(city, ()), name)
    same = {city: zoned for city, zoned in found.items() if len(zoned) == 1}
    whole: dict[str, tuple[str, ...]] = {folded(name): (name,) for name in names}
    return same | whole

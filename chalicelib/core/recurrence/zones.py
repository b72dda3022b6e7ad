"""Time zones as tables of constant-offset segments, read once from ``zoneinfo`` and kept.

Daylight saving is arithmetic on a table here: a zone is cut into segments of one offset each. They are found by
bisecting the offsets that ``zoneinfo`` reports, in chunks of about a year that are read when first asked for. All
instants are unix seconds; a wall-clock time is the number of seconds that the same civil date and time would have in
UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

Segment = tuple[int, int, int, int]
"""``(start_s, end_s, offset_s, before_s)``: [start, end) has ``offset``; just before start it was ``before``."""

_CHUNK_BITS: Final = 25  # 2**25 seconds, 388 days: one or two transitions of most zones
# Offsets are probed this far apart. Since 1970 no zone left an offset and was back sooner: Gaza's shortest stretches
# are an hour short of a week (a test compares every zone with its file). No file names a transition beyond 2100.
_PROBE_S: Final = 5 * 86_400
_RULES_ONLY_S: Final = 4_102_444_800
_PROBE_RULES_S: Final = 28 * 86_400
_FIRST_S: Final = -62_135_510_400  # 0001-01-02: every offset can still be applied without leaving year 1
_LAST_S: Final = 253_402_214_400  # 9999-12-31
_CHUNKS_MAX: Final = 4096
_FIXED: Final = frozenset({"UTC", "Etc/UTC", "Etc/GMT", "GMT", "Z", "Zulu", "Universal", "UCT", "Etc/UCT"})
_FOREVER: Final = 1 << 62


class Zone:
    """One IANA zone. Shared between threads: filling a chunk twice does no harm."""

    __slots__ = ("_chunks", "_info", "_memo", "name")

    def __init__(self, name: str, info: ZoneInfo) -> None:
        self.name = name
        self._info = info
        self._chunks: dict[int, tuple[Segment, ...]] = {}
        self._memo: Segment = (0, 0, 0, 0)
        if name in _FIXED:
            self._memo = (-_FOREVER, _FOREVER, 0, 0)

    def segment(self, unix_s: int) -> Segment:
        """The segment that holds ``unix_s``; segments also end at chunk borders, where nothing changes."""
        memo = self._memo
        if memo[0] <= unix_s < memo[1]:
            return memo
        chunk = self._chunks.get(unix_s >> _CHUNK_BITS)
        if chunk is None:
            chunk = self._load(unix_s >> _CHUNK_BITS)
        for found in chunk:
            if unix_s < found[1]:
                self._memo = found
                return found
        raise AssertionError("a chunk covers all of its instants")

    def offset(self, unix_s: int) -> int:
        """Seconds that wall time is ahead of UTC at ``unix_s``."""
        return self.segment(unix_s)[2]

    def instants_of(self, wall_s: int) -> tuple[int, ...]:
        """The instants whose wall-clock time is ``wall_s``: none in a gap, two in an overlap, ascending."""
        early, late = self.offset(wall_s - 86_400 * 2), self.offset(wall_s + 86_400 * 2)
        offsets = {early, late, self.offset(wall_s - early), self.offset(wall_s - late)}
        return tuple(sorted(wall_s - o for o in offsets if self.offset(wall_s - o) == o))

    def resolve(self, wall_s: int) -> int:
        """The instant of a wall time as RFC 5545 (3.3.5) reads it: the first of two, in a gap as if before it."""
        found = self.instants_of(wall_s)
        return found[0] if found else wall_s - self.offset(wall_s - 2 * 86_400)

    def _load(self, index: int) -> tuple[Segment, ...]:
        start, stop = index << _CHUNK_BITS, (index + 1) << _CHUNK_BITS
        found: list[Segment] = []
        at, offset, before = start, self._probe(start), self._probe(start - 1)
        while at < stop:
            end, after = self._change(at, stop, offset)
            found.append((at, end, offset, before))
            at, before, offset = end, offset, after
        if len(self._chunks) >= _CHUNKS_MAX:
            self._chunks.clear()
        chunk = tuple(found)
        self._chunks[index] = chunk
        return chunk

    def _change(self, start: int, stop: int, offset: int) -> tuple[int, int]:
        """The first instant in (start, stop) whose offset differs, with that offset; or (stop, offset)."""
        low, probe_s = start, _PROBE_S if start < _RULES_ONLY_S else _PROBE_RULES_S
        while low < stop:
            high = min(low + probe_s, stop)
            if high < stop and self._probe(high) == offset:
                low = high
                continue
            if high == stop and self._probe(stop - 1) == offset:
                break
            high = min(high, stop - 1)
            while high - low > 1:
                middle = (low + high) // 2
                if self._probe(middle) == offset:
                    low = middle
                else:
                    high = middle
            return high, self._probe(high)
        return stop, offset

    def _probe(self, unix_s: int) -> int:
        offset = datetime.fromtimestamp(min(max(unix_s, _FIRST_S), _LAST_S), self._info).utcoffset()
        assert offset is not None
        return offset.days * 86_400 + offset.seconds


_zones: dict[str, Zone] = {}
_lock = Lock()
_on_forget: list[Callable[[], None]] = []


def zone(name: str) -> Zone:
    """The zone called ``name`` (IANA). Raises ValueError when there is none."""
    found = _zones.get(name)
    if found is None:
        found = Zone(name, _zone_info(name))
        with _lock:
            _zones[name] = found
    return found


def _zone_info(name: str) -> ZoneInfo:
    if not name or len(name) > 64 or not name.isascii():
        raise ValueError("must be an IANA time zone name, such as Europe/Berlin")
    from zoneinfo import ZoneInfo  # loaded with the first zone: each function pays for its imports at a cold start

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # zoneinfo answers with any of these: unknown key, path outside the data, a directory such as "Europe"
        raise ValueError(f"{name!r} is not an IANA time zone") from None


def when_forgotten(action: Callable[[], None]) -> None:
    """Have ``action`` called by ``forget``: for caches that hold zones."""
    _on_forget.append(action)


def forget() -> None:
    """Drop every table, ``zoneinfo``'s own cache and what was built on them: new zone data is read from here on."""
    from zoneinfo import ZoneInfo

    with _lock:
        _zones.clear()
        ZoneInfo.clear_cache()
    for action in _on_forget:
        action()

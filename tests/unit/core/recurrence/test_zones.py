"""Zone tables: every transition of the zone files, nothing besides, and new data after ``forget``."""

from __future__ import annotations

import importlib.resources
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest

from chalicelib.adapters.machine import zone_data
from chalicelib.core.recurrence import expressions, zones
from chalicelib.core.recurrence.expressions import Spec

FROM, UPTO = 0, 4_102_444_800  # 1970 to 2100
CRITICAL = (
    "Asia/Gaza", "Africa/Casablanca", "Africa/El_Aaiun", "America/Recife", "America/Noronha", "Pacific/Apia",
    "Antarctica/Troll", "Australia/Lord_Howe", "Africa/Cairo", "America/Sao_Paulo", "Asia/Pyongyang", "Africa/Monrovia",
)  # fmt: skip


def file_transitions(name: str) -> list[tuple[int, int]]:
    """(instant, new offset) of a compiled zone file's 64-bit table (RFC 8536), without those that keep the offset."""
    data = importlib.resources.files("tzdata.zoneinfo").joinpath(*name.split("/")).read_bytes()
    isut, isstd, leap, times, types, chars = struct.unpack(">6l", data[20:44])
    data = data[44 + times * 5 + types * 6 + chars + leap * 8 + isstd + isut :]
    _, _, _, times, types, _ = struct.unpack(">6l", data[20:44])
    at = struct.unpack(f">{times}q", data[44 : 44 + times * 8])
    kinds = data[44 + times * 8 : 44 + times * 9]
    offsets = [struct.unpack(">l", data[44 + times * 9 + i * 6 :][:4])[0] for i in range(types)]
    found, before = [], offsets[0]
    for instant, kind in zip(at, kinds, strict=True):
        if offsets[kind] != before:
            found.append((instant, offsets[kind]))
        before = offsets[kind]
    return found


def table_transitions(name: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    zone, at = zones.zone(name), start
    while at < stop:
        first, end, offset, before = zone.segment(at)
        if offset != before and first == at:
            yield first, offset
        at = end


@pytest.fixture
def packaged() -> Iterator[None]:
    """Zones from the tzdata package, whatever the machine carries."""
    import zoneinfo

    paths = zoneinfo.TZPATH
    zone_data.use_packaged_zones()
    yield
    zoneinfo.reset_tzpath(to=paths)
    zones.forget()


def check(name: str) -> None:
    listed = [t for t in file_transitions(name) if FROM <= t[0] < UPTO]
    last = max((t for t, _ in listed), default=FROM)
    assert list(table_transitions(name, FROM, last + 1)) == listed, name


@pytest.mark.usefixtures("packaged")
@pytest.mark.parametrize("name", CRITICAL)
def test_tables_hold_every_transition_of_difficult_zones(name: str) -> None:
    check(name)


@pytest.mark.slow
@pytest.mark.usefixtures("packaged")
def test_tables_hold_every_transition_of_every_zone() -> None:
    for name in sorted(available_timezones()):
        check(name)


@pytest.mark.parametrize("name", ["Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "UTC", "Etc/GMT+12"])
def test_far_years_follow_the_zone_rules(name: str) -> None:
    zone, info = zones.zone(name), ZoneInfo(name)
    for year in (2101, 2500, 9000):
        for month in range(1, 13):
            at = int(datetime(year, month, 17, tzinfo=UTC).timestamp())
            offset = datetime.fromtimestamp(at, info).utcoffset()
            assert offset is not None
            assert zone.offset(at) == offset.total_seconds()


def test_wall_times_in_gaps_and_overlaps() -> None:
    berlin = zones.zone("Europe/Berlin")

    def wall(text: str) -> int:
        return int(datetime.fromisoformat(text + "+00:00").timestamp())

    assert berlin.instants_of(wall("2026-03-29T02:30:00")) == ()
    assert berlin.instants_of(wall("2026-10-25T02:30:00")) == (wall("2026-10-25T00:30:00"), wall("2026-10-25T01:30:00"))
    assert berlin.instants_of(wall("2026-07-01T12:00:00")) == (wall("2026-07-01T10:00:00"),)
    assert berlin.resolve(wall("2026-03-29T02:30:00")) == wall("2026-03-29T01:30:00")


@pytest.mark.parametrize(
    "name", ["", "Europe", "Europe/Nowhere", "../etc/passwd", "/etc/localtime", "Ünïcode", "x" * 99, "\0"]
)
def test_names_that_are_no_zones(name: str) -> None:
    with pytest.raises(ValueError, match="IANA"):
        zones.zone(name)


def test_forget_drops_tables_and_what_was_built_on_them() -> None:
    spec = Spec("CRON", "0 2 * * *", "Europe/Berlin")
    made, zone = expressions.compile(spec), zones.zone("Europe/Berlin")
    assert expressions.compile(spec) is made
    zones.forget()
    assert expressions.compile(spec) is not made
    assert zones.zone("Europe/Berlin") is not zone


def test_the_release_of_the_data_is_known() -> None:
    assert zone_data.zone_data_version()[:2] == "20"

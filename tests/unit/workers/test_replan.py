"""A government moves its clocks: schedules that follow its zone are planned anew, and nothing doubles."""

from __future__ import annotations

import importlib.resources
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.adapters.machine.zone_data import use_packaged_zones
from chalicelib.core.instants import parse_rfc3339
from chalicelib.core.recurrence import zones
from chalicelib.workers import replan
from tests.kit.plant import Plant

BEFORE = parse_rfc3339("2026-07-01T05:00:00Z")
HOUR_MS = 3_600_000


@pytest.fixture
def packaged() -> Iterator[None]:
    """Zones from the tzdata package, and back to this machine's afterwards."""
    paths = zoneinfo.TZPATH
    use_packaged_zones()
    yield
    zoneinfo.reset_tzpath(to=paths)
    zones.forget()


def swap_zone_file(root: Path, name: str, other: str) -> None:
    """From now on ``name`` follows the rules of ``other``."""
    data = importlib.resources.files("tzdata.zoneinfo").joinpath(*other.split("/")).read_bytes()
    target = root.joinpath(*name.split("/"))
    target.parent.mkdir(parents=True)
    target.write_bytes(data)
    zoneinfo.reset_tzpath(to=[str(root)])
    zones.forget()


def test_a_new_release_moves_the_coming_instants_and_doubles_none(packaged: None, tmp_path: Path) -> None:
    plant = Plant(BEFORE, zone_data="2026a")
    berlin = plant.create(type="CRON", expr="0 * * * *", timezone="Europe/Berlin")
    daily = plant.create(type="CRON", expr="0 9 * * *", timezone="Europe/Berlin")
    london = plant.create(type="CRON", expr="0 9 * * *", timezone="Europe/London")
    plant.run_until(BEFORE + HOUR_MS // 2)
    assert plant.get(daily).state.next_run_ms == parse_rfc3339("2026-07-01T07:00:00Z")

    swap_zone_file(tmp_path, "Europe/Berlin", "Europe/London")
    plant.reconfigure(zone_data="2026b")
    plant.run_until(BEFORE + 5 * HOUR_MS)

    assert plant.bus.instants(daily) == [parse_rfc3339("2026-07-01T08:00:00Z")]
    assert plant.bus.instants(london) == [parse_rfc3339("2026-07-01T08:00:00Z")]
    assert plant.bus.instants(berlin) == [BEFORE + k * HOUR_MS for k in range(6)]
    assert plant.get(daily).definition.zone_data == "2026b"


def test_a_release_inside_the_horizon_takes_back_what_was_queued(packaged: None, tmp_path: Path) -> None:
    start = parse_rfc3339("2026-07-01T06:58:30Z")
    plant = Plant(start, zone_data="2026a")
    daily = plant.create(type="CRON", expr="0 9 * * *", timezone="Europe/Berlin")
    assert plant.get(daily).state.queued_ms == parse_rfc3339("2026-07-01T07:00:00Z")
    swap_zone_file(tmp_path, "Europe/Berlin", "Europe/London")
    plant.reconfigure(zone_data="2026b")
    plant.run_until(start + 2 * HOUR_MS)
    assert plant.bus.instants(daily) == [parse_rfc3339("2026-07-01T08:00:00Z")]


def test_a_known_release_costs_one_read() -> None:
    plant = Plant(BEFORE, zone_data="2026a")
    assert replan.run(plant.services) == 0
    plant.create(type="CRON", expr="0 9 * * *", timezone="Europe/Berlin")
    assert replan.run(plant.services) == 0

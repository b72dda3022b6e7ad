"""The point that wishes pass: who is judged, by policies how old, and what it costs where there are none."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.errors import PolicyDenied, Unavailable
from chalicelib.core.rules.policy import Rule, WrittenPolicy
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.security.caller import ANONYMOUS_ADMIN, system_caller
from chalicelib.ports.services import Services
from chalicelib.process.limits import POLICIES_MEMORY_MS
from chalicelib.usecases import policies
from chalicelib.usecases.policy_gate import check_lease, check_schedule
from tests.kit.records import definition
from tests.kit.services import make_services, with_stores
from tests.kit.watched import Watched

KEY = Key("default", "01KB0E5T0QJ8Z3V7M4N2X9YRSC")
ASKED = {"holder_id": "h", "ttl_ms": 1}


@pytest.fixture
def services() -> Services:
    return make_services()


def never(field: str) -> WrittenPolicy:
    condition = {"field": field, "operator": "eq", "value": "x"}
    return WrittenPolicy(
        name="p", rules=(Rule(name="r", condition=condition, action="deny", message="m", required=True),)
    )


def watched(s: Services) -> tuple[Services, list[Any]]:
    """``s``, and every reading of epochs."""
    seen: list[Any] = []
    return with_stores(s, schedules=Watched(s.stores.schedules, "epochs", seen.append)), seen


def other_process(s: Services) -> Services:
    """Another process over the same stores and the same clock."""
    return make_services(stores=s.stores)


def test_what_the_service_does_itself_is_not_judged(services: Services) -> None:
    policies.create(services, ANONYMOUS_ADMIN, never("name"))
    mine = definition(KEY, name="y")
    with pytest.raises(PolicyDenied, match="policy p, rule r: m"):
        check_schedule(services, ANONYMOUS_ADMIN, mine, "schedules:create")
    check_schedule(services, system_caller("default"), mine, "schedules:create")
    check_lease(services, system_caller("default"), "leases:acquire", "l", **ASKED)


def test_a_schedule_is_judged_by_what_another_process_has_just_written(services: Services) -> None:
    mine = definition(KEY, name="y")
    check_schedule(services, ANONYMOUS_ADMIN, mine, "schedules:create")
    policies.create(other_process(services), ANONYMOUS_ADMIN, never("name"))
    with pytest.raises(PolicyDenied):
        check_schedule(services, ANONYMOUS_ADMIN, mine, "schedules:create")


def test_a_lease_is_judged_by_policies_of_at_most_a_second_ago(services: Services) -> None:
    check_lease(services, ANONYMOUS_ADMIN, "leases:acquire", "l", **ASKED)
    began_ms = services.clock.now_ms()
    policies.create(other_process(services), ANONYMOUS_ADMIN, never("lease.name"))
    check_lease(services, ANONYMOUS_ADMIN, "leases:acquire", "l", **ASKED)
    services.clock.sleep_until(began_ms + POLICIES_MEMORY_MS)
    with pytest.raises(PolicyDenied):
        check_lease(services, ANONYMOUS_ADMIN, "leases:acquire", "l", **ASKED)


def test_without_policies_a_schedule_costs_a_read_and_leases_one_a_second() -> None:
    services, seen = watched(make_services())
    check_schedule(services, ANONYMOUS_ADMIN, definition(KEY), "schedules:create")
    assert len(seen) == 1
    for _ in range(10):
        check_lease(services, ANONYMOUS_ADMIN, "leases:acquire", "l", **ASKED)
    assert len(seen) == 1


def test_while_policies_cannot_be_read_nothing_passes(services: Services) -> None:
    def away(_: Any) -> None:
        raise Unavailable("away")

    broken = with_stores(services, schedules=Watched(services.stores.schedules, "epochs", away))
    with pytest.raises(Unavailable):
        check_schedule(broken, ANONYMOUS_ADMIN, definition(KEY), "schedules:create")

"""Policies before each firing, in virtual time: what a change of them stops, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.executions.execution import Execution
from chalicelib.core.rules.policy import Match, Rule, RuleException, WrittenPolicy
from chalicelib.core.schedules.schedule import RetryPolicy
from chalicelib.ports.stores.policies import KeptPolicy
from chalicelib.ports.target import Outcome
from chalicelib.usecases import audit_trail, backfill, policies
from chalicelib.usecases.audit_trail import AuditFilter
from chalicelib.workers import feed
from chalicelib.workers.feed import Written
from tests.kit.plant import CALLER, Plant
from tests.kit.services import with_stores
from tests.kit.watched import Watched

START_MS = 1_767_225_600_000
S = 1_000
DELAY = {"type": "DELAY", "expr": "delay:2s"}


def beat(**more: Any) -> dict[str, Any]:
    return {"type": "RATE", "expr": "rate:1s", "tags": ("production",), **more}


def tagged(*exceptions: RuleException, mode: str = "enforce", action: str = "deny") -> WrittenPolicy:
    """No firing of production is let pass."""
    never = {"field": "action", "operator": "ne", "value": "firing"}
    rule = Rule(name="freeze", condition=never, action=action, message="the release is frozen")  # type: ignore[arg-type]
    match = Match(tag="production")
    return WrittenPolicy(name="frozen", match=match, rules=(rule,), exceptions=exceptions, mode=mode)  # type: ignore[arg-type]


def sent(plant: Plant) -> list[int]:
    return sorted(delivery.firing_unix_ms for _, delivery in plant.bus.sent)


def rejected(found: list[Execution]) -> list[int]:
    return [e.firing_ms for e in found if e.state == "failed" and e.attempts[-1].error_type == "rejected"]


def test_a_policy_made_after_the_schedule_stops_the_very_next_firing() -> None:
    plant = Plant(START_MS)
    schedule_id = plant.create(**beat())
    plant.run_until(START_MS + 5 * S + 500)
    policies.create(plant.services, CALLER, tagged())
    plant.run_until(START_MS + 9 * S + 500)
    assert sent(plant) == [START_MS + n * S for n in range(1, 6)]
    found = plant.executions(schedule_id)
    assert rejected(found) == [START_MS + n * S for n in range(6, 10)]
    last = found[-1]
    assert last.error == "policy frozen, rule freeze: the release is frozen"
    assert last.attempts[-1].started_ms == last.firing_ms
    ledger = backfill.ledger(plant.services, CALLER, schedule_id, START_MS, START_MS + 9 * S, 100)
    assert [line.reason for line in ledger.lines[5:]] == [last.error] * 4
    assert ledger.lost == 0


def test_its_end_lets_the_next_firing_pass() -> None:
    plant = Plant(START_MS)
    policies.create(plant.services, CALLER, tagged())
    schedule_id = plant.create(**beat())
    plant.run_until(START_MS + 3 * S + 500)
    policies.delete(plant.services, CALLER, "frozen")
    plant.run_until(START_MS + 5 * S + 500)
    assert sent(plant)[0] - START_MS > 3 * S
    assert len(rejected(plant.executions(schedule_id))) == 3
    assert len(sent(plant)) == 2


def test_what_it_does_not_match_fires() -> None:
    plant = Plant(START_MS)
    policies.create(plant.services, CALLER, tagged())
    plant.create(**beat(tags=()))
    plant.run_until(START_MS + 3 * S + 500)
    assert len(sent(plant)) == 3


@pytest.mark.parametrize("soft", [{"mode": "audit"}, {"action": "warn"}, {"action": "audit"}])
def test_what_only_warns_or_audits_fires(soft: dict[str, str]) -> None:
    plant = Plant(START_MS)
    policies.create(plant.services, CALLER, tagged(**soft))  # type: ignore[arg-type]
    plant.create(**beat())
    plant.run_until(START_MS + 3 * S + 500)
    assert len(sent(plant)) == 3


def test_an_exception_ends_without_any_change() -> None:
    plant = Plant(START_MS)
    until_ms = START_MS + 3 * S + 500
    policies.create(
        plant.services, CALLER, tagged(RuleException(until_unix_ms=until_ms, match=Match(owner="anonymous")))
    )
    plant.create(**beat())
    plant.run_until(START_MS + 6 * S + 500)
    assert sent(plant)
    assert max(sent(plant)) <= until_ms


def test_a_rejected_firing_is_not_retried_and_is_a_dead_letter() -> None:
    plant = Plant(START_MS)
    policies.create(plant.services, CALLER, tagged())
    schedule_id = plant.create(**beat(max_runs=1, retry_policy=RetryPolicy(max_attempts=3, base_ms=100)))
    plant.run_until(START_MS + 30 * S)
    [execution] = plant.executions(schedule_id)
    assert (execution.state, len(execution.attempts)) == ("failed", 1)
    assert [letter.execution_id for letter in plant.queue.dead] == [execution.id]


def test_the_next_attempt_of_one_that_failed_is_judged_too() -> None:
    plant = Plant(START_MS)
    plant.bus.answer = lambda _: Outcome("failed", error_type="http_error", error="HTTP 500")
    schedule_id = plant.create(**beat(max_runs=1, retry_policy=RetryPolicy(max_attempts=3, base_ms=5_000)))
    plant.run_until(START_MS + 3 * S)
    policies.create(plant.services, CALLER, tagged())
    plant.run_until(START_MS + 30 * S)
    [execution] = plant.executions(schedule_id)
    assert [attempt.error_type for attempt in execution.attempts] == ["http_error", "rejected"]
    assert len(plant.bus.sent) == 1


def test_a_delay_goes_on_after_a_rejected_run() -> None:
    plant = Plant(START_MS)
    policies.create(plant.services, CALLER, tagged())
    schedule_id = plant.create(**DELAY, tags=("production",))
    plant.run_until(START_MS + 7 * S)
    assert len(rejected(plant.executions(schedule_id))) == 3


class _Counted:
    """Every port method of the stores that a firing may call, counted."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def note(self, name: str) -> Any:
        return lambda *_: self.calls.append(name)


def calls_of_firings(made: int) -> list[str]:
    """What the stores are asked while five firings are delivered, with so many policies."""
    plant, counted = Plant(START_MS), _Counted()
    for n in range(made):
        rule = Rule(
            name="url",
            condition={"field": "webhook.url", "operator": "starts_with", "value": f"https://{n}."},
            action="deny",
            message="m",
        )
        policies.create(plant.services, CALLER, WrittenPolicy(name=f"p{n}", rules=(rule,)))
    plant.create(**beat())
    plant.run_until(plant.clock.now_ms() + 10 * S + 500)  # the first firing has read the policies by now
    stores = plant.services.stores
    for store, methods in {
        "schedules": ("states", "epochs", "definitions", "snapshots", "write_states", "get"),
        "executions": ("insert", "update", "get"),
        "policies": ("load", "page", "save"),
    }.items():
        watched = getattr(stores, store)
        for method in methods:
            watched = Watched(watched, method, counted.note(f"{store}.{method}"))
        plant.services = with_stores(plant.services, **{store: watched})
    plant.run_until(plant.clock.now_ms() + 5 * S)
    assert len(sent(plant)) >= 15
    return sorted(counted.calls)


def test_a_hundred_policies_add_no_call_to_a_firing() -> None:
    assert calls_of_firings(100) == calls_of_firings(0)


def test_a_denied_firing_is_in_the_audit_once_however_often_its_record_comes() -> None:
    plant = Plant(START_MS)
    policies.create(plant.services, CALLER, tagged())
    schedule_id = plant.create(**beat())
    plant.run_until(START_MS + 5 * S + 500)
    plant.run_until(START_MS + 9 * S)
    denied = [e for e in plant.executions(schedule_id) if e.state == "failed"]
    feed.run(plant.services, [Written(None, e) for e in denied])
    entries = audit_trail.page(plant.services, CALLER, AuditFilter(action="firing"), 100).entries
    assert len(denied) >= 5
    assert sorted(e.resource for e in entries) == sorted(f"executions/{e.id}" for e in denied)
    assert {(e.actor, e.decision, e.outcome, e.detail) for e in entries} == {
        ("chronowatch", "deny", "refused", "deny: policy frozen, rule freeze")
    }
    assert "release is frozen" not in str(entries), "a message is not for the audit"


def test_without_an_audit_a_denied_firing_is_no_entry() -> None:
    plant = Plant(START_MS, audit="off")
    policies.create(plant.services, CALLER, tagged())
    plant.create(**beat())
    plant.run_until(START_MS + 3 * S + 500)
    assert audit_trail.page(plant.services, CALLER, AuditFilter(), 100).entries == []


def test_a_policy_in_no_known_form_denies_the_firings_that_it_matches() -> None:
    plant = Plant(START_MS)
    document = '{"name": "later", "match": {"tag": "production"}, "rules": [], "colour": "red"}'
    mine, other = plant.create(**beat()), plant.create(**beat(tags=()))
    assert plant.services.stores.policies.save("default", KeptPolicy("later", document, 1), 0)
    plant.run_until(START_MS + 3 * S + 500)
    assert len(rejected(plant.executions(mine))) == 3
    assert rejected(plant.executions(other)) == []

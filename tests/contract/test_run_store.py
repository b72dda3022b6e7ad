"""Every sentence of ``RunStore`` and ``WorkflowStore``, on every adapter."""

from __future__ import annotations

import os

import pytest
from msgspec.structs import replace

from chalicelib.core.workflows.run_slots import SlotHolder, SlotTable
from chalicelib.core.workflows.run_state import NodeState, RunEvent, RunState, SeenRun
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.runs import RunStore, RunSummary
from chalicelib.ports.stores.workflows import PublishedVersion, WorkflowHead, WorkflowStore


@pytest.fixture
def runs(stores: Stores) -> RunStore:
    return stores.runs


@pytest.fixture
def workflows(stores: Stores) -> WorkflowStore:
    return stores.workflows


def events(first: int, count: int = 1) -> list[RunEvent]:
    return [RunEvent(n, 1000 + n, "node_started", "é", {"n": n, "x": [None, 1.5]}) for n in range(first, first + count)]


def summary(tenant: str, run_id: str, **changes: object) -> RunSummary:
    made = RunSummary(tenant, run_id, "w", "v1", "running", "änn", 1000)
    return replace(made, **changes)


def head(tenant: str, name: str, rev: int = 1) -> WorkflowHead:
    return WorkflowHead(tenant, name, "änn", "h1", (PublishedVersion(1, "h1", 5, "änn"),), rev, 5, 6)


def test_the_first_of_two_appends_that_follow_one_event_is_taken(runs: RunStore, tenant: str) -> None:
    assert runs.read(tenant, "r") == (None, [])
    assert runs.append(tenant, "r", events(1, 3))
    assert not runs.append(tenant, "r", events(1))
    assert runs.append(tenant, "r", events(4))
    assert not runs.append(tenant, "r", events(4, 2))
    assert runs.read(tenant, "r") == (None, events(1, 4))
    assert runs.read(tenant, "other") == (None, [])
    assert runs.read("elsewhere", "r") == (None, [])


def test_a_snapshot_stands_for_the_events_before_it_and_is_never_replaced_by_an_older_one(
    runs: RunStore, tenant: str
) -> None:
    for first in (1, 3, 5):
        assert runs.append(tenant, "r", events(first, 2))
    state = RunState(tenant=tenant, id="r", events=4, nodes={"é": NodeState("waiting", due_ms=7)}, scope=("p",))
    runs.snapshot(state)
    runs.snapshot(replace(state, events=2))
    assert runs.read(tenant, "r") == (state, events(5, 2))


def test_the_log_is_read_from_any_event_on(runs: RunStore, tenant: str) -> None:
    for first in (1, 4, 5):
        assert runs.append(tenant, "r", events(first, 3 if first == 1 else 1))
    assert runs.events(tenant, "r", 0, 100) == events(1, 5)
    assert runs.events(tenant, "r", 2, 2)[:2] == events(3, 2)
    assert runs.events(tenant, "r", 3, 100) == events(4, 2)
    assert runs.events(tenant, "r", 5, 100) == []


def test_a_run_is_entered_once_and_changed_by_who_saw_its_rev(runs: RunStore, tenant: str) -> None:
    assert runs.load(tenant, "r") is None
    first = summary(tenant, "r", wake_ms=5000)
    assert runs.enter(first)
    assert not runs.enter(replace(first, status="failed"))
    assert runs.load(tenant, "r") == first
    ended = replace(first, status="completed", finished_ms=2000, wake_ms=None, rev=2)
    assert not runs.summarize(ended, 7)
    assert runs.summarize(ended, 1)
    assert not runs.summarize(ended, 1)
    assert runs.load(tenant, "r") == ended


def test_a_promised_look_comes_neither_later_nor_too_soon_and_raises_the_rev(runs: RunStore, tenant: str) -> None:
    runs.wake_by(tenant, "r", 10, 0)
    assert runs.load(tenant, "r") is None
    assert runs.enter(summary(tenant, "r"))
    for wake_ms, kept_from_ms in ((900, 0), (1200, 900), (700, 0), (800, 701), (800, 800)):
        runs.wake_by(tenant, "r", wake_ms, kept_from_ms)
    found = runs.load(tenant, "r")
    assert found == summary(tenant, "r", wake_ms=800, rev=4)
    assert not runs.summarize(summary(tenant, "r", rev=5), 1)
    assert runs.summarize(summary(tenant, "r", rev=5), 4)
    assert runs.load(tenant, "r") == summary(tenant, "r", rev=5)


def test_runs_are_woken_by_their_instants(runs: RunStore, tenant: str) -> None:
    for number in range(5):
        assert runs.enter(summary(tenant, f"r{number}", wake_ms=100 * number + 1))
    assert runs.enter(summary(tenant, "never"))
    mine = [w for w in runs.woken(301, 1000) if w.tenant == tenant]
    assert [(w.id, w.wake_ms) for w in mine] == [("r0", 1), ("r1", 101), ("r2", 201), ("r3", 301)]
    assert len(runs.woken(301, 1)) == 1


def test_runs_are_listed_newest_first_by_workflow_and_status_without_those_of_items(
    runs: RunStore, tenant: str
) -> None:
    for number in range(6):
        kind, status = ("w", "x")[number % 2], ("running", "failed")[number // 3]
        assert runs.enter(summary(tenant, f"r{number}", started_ms=number, workflow=kind, status=status))
    assert runs.enter(summary(tenant, "item", listed=False))
    assert listed(runs, tenant) == ["r5", "r4", "r3", "r2", "r1", "r0"]
    assert listed(runs, tenant, workflow="w") == ["r4", "r2", "r0"]
    assert listed(runs, tenant, status="failed") == ["r5", "r4", "r3"]
    assert listed(runs, tenant, workflow="x", status="running") == ["r1"]
    assert listed(runs, "elsewhere") == []


def listed(runs: RunStore, tenant: str, workflow: str | None = None, status: str | None = None) -> list[str]:
    found, after = [], None
    for _ in range(20):
        some, after = runs.page(tenant, workflow, status, 2, after)
        assert len(some) <= 2
        found += [one.id for one in some]
        if after is None:
            return found
    raise AssertionError("the list has no end")


@pytest.mark.parametrize("size", [0, 1, 90 * 1024, 90 * 1024 + 1, 1_000_000])
def test_payloads_come_back_as_they_were_kept(runs: RunStore, tenant: str, size: int) -> None:
    content = os.urandom(size)
    assert runs.payloads(tenant, "r", ["item/é/1/0"]) == {}
    runs.put_payload(tenant, "r", "item/é/1/0", content)
    runs.put_payload(tenant, "r", "item/é/1/0", content)
    assert runs.payloads(tenant, "r", ["item/é/1/0", "gone"]) == {"item/é/1/0": content}


def test_a_workflow_is_changed_by_who_saw_its_rev(workflows: WorkflowStore, tenant: str) -> None:
    first = head(tenant, "w")
    assert workflows.load(tenant, "w") is None
    assert workflows.save(first, 0)
    assert not workflows.save(first, 0)
    assert workflows.load(tenant, "w") == first
    second = replace(first, live="h2", rev=2)
    assert not workflows.save(second, 9)
    assert workflows.save(second, 1)
    assert not workflows.delete(tenant, "w", 1)
    assert not workflows.delete(tenant, "w", 0)
    assert workflows.delete(tenant, "w", 2)
    assert workflows.load(tenant, "w") is None


def test_workflows_are_listed_by_name(workflows: WorkflowStore, tenant: str) -> None:
    for name in ("c", "a", "b"):
        assert workflows.save(head(tenant, name), 0)
    first, after = workflows.page(tenant, 2, None)
    rest, end = workflows.page(tenant, 2, after)
    assert [one.name for one in [*first, *rest]] == ["a", "b", "c"]
    assert end is None or workflows.page(tenant, 2, end) == ([], None)


def test_a_version_outlives_its_workflow(workflows: WorkflowStore, tenant: str) -> None:
    assert workflows.load_version(tenant, "w", "h1") is None
    workflows.save_version(tenant, "w", "h1", '{"é": 1}')
    assert workflows.save(head(tenant, "w"), 0)
    assert workflows.delete(tenant, "w", 1)
    assert workflows.load_version(tenant, "w", "h1") == '{"é": 1}'


def test_slots_change_only_as_they_were_seen_and_vanish_when_empty(runs: RunStore, tenant: str) -> None:
    first = SlotTable(tenant, "k", "a", (SlotHolder("r", 1, 5),), (SlotHolder("q", 2, 6),))
    assert runs.slots(tenant, "k") is None
    assert runs.save_slots(first, "")
    assert not runs.save_slots(replace(first, rev="x"), "")
    assert runs.slots(tenant, "k") == first
    assert runs.slots(tenant, "other") is None
    second = replace(first, rev="b", waiting=())
    assert not runs.save_slots(second, "b")
    assert runs.save_slots(second, "a")
    assert runs.slots(tenant, "k") == second
    assert not runs.save_slots(SlotTable(tenant, "k", "c"), "a")
    assert runs.save_slots(SlotTable(tenant, "k", "c"), "b")
    assert runs.slots(tenant, "k") is None
    assert runs.save_slots(first, "")


def test_a_purged_run_leaves_nothing_behind(runs: RunStore, tenant: str) -> None:
    assert runs.enter(summary(tenant, "r"))
    assert runs.enter(summary(tenant, "other"))
    for first in range(1, 41):
        assert runs.append(tenant, "r", events(first))
    runs.snapshot(RunState(tenant=tenant, id="r", events=30))
    runs.put_payload(tenant, "r", "p", b"x" * 200_000)
    assert any(runs.purge(tenant, "r") for _ in range(10))
    assert runs.load(tenant, "r") is None
    assert runs.read(tenant, "r") == (None, [])
    assert runs.payloads(tenant, "r", ["p"]) == {}
    assert runs.load(tenant, "other") == summary(tenant, "other")
    assert runs.purge(tenant, "r"), "again it is gone already"


def test_what_the_feed_says_of_a_run_is_written_and_not_read_back(runs: RunStore, tenant: str) -> None:
    said = SeenRun(RunState(tenant=tenant, id="r"))
    assert runs.enter(summary(tenant, "r", change=said))
    assert runs.load(tenant, "r") == summary(tenant, "r")
    assert runs.summarize(summary(tenant, "r", rev=2, change=said), 1)
    assert runs.load(tenant, "r") == summary(tenant, "r", rev=2)
    assert runs.page(tenant, None, None, 5, None)[0] == [summary(tenant, "r", rev=2)]

"""Whose things they are, through every use case: another owner's look missing, and a viewer changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core.errors import ChronoError, Conflict, Forbidden, NotFound
from chalicelib.core.executions.journal import accepted, claim
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.security.caller import Caller
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import ScheduleFilter
from chalicelib.usecases import (
    backfill,
    bulk,
    cluster,
    execution_logs,
    executions,
    files,
    jobs,
    leases,
    schedules,
    ticks,
)
from chalicelib.usecases.executions import ExecutionFilter
from chalicelib.usecases.leases import AcquireLease, ReleaseLease, RenewLease
from tests.kit.callers import who
from tests.kit.machine import NOW_MS
from tests.kit.services import make_services, with_stores

ANN = who("ann", "user", tenant="acme")
BOB = who("bob", "user", tenant="acme")
OLGA = who("olga", "operator", tenant="acme")
VERA = who("vera", "viewer", tenant="acme")
ADA = who("ada", "admin", tenant="acme")
STRANGER = who("ann", "admin", tenant="other")
GONE = "01KB0E5T0QJ8Z3V7M4N2X9YRSC"
RATE: dict[str, Any] = {"type": "RATE", "expr": "rate:1h", "tags": ("t",)}

Verb = Callable[[Services, Caller, str], object]
SCHEDULE_READS: dict[str, Verb] = {
    "get": schedules.get,
    "ledger": lambda s, c, i: backfill.ledger(s, c, i, None, None, 10),
    "job": jobs.get,
}
SCHEDULE_WRITES: dict[str, Verb] = {
    "edit": lambda s, c, i: schedules.edit(s, c, i, ScheduleRequest(expr="rate:2h"), None),
    "edit at another version": lambda s, c, i: schedules.edit(s, c, i, ScheduleRequest(expr="rate:2h"), GONE),
    "pause": lambda s, c, i: schedules.pause(s, c, i, None, None),
    "resume": lambda s, c, i: schedules.resume(s, c, i, None),
    "cancel": lambda s, c, i: schedules.cancel(s, c, i, None, None),
    "replan": schedules.replan,
    "delete": lambda s, c, i: schedules.delete(s, c, i, None),
    "delete another version": lambda s, c, i: schedules.delete(s, c, i, GONE),
    "trigger": lambda s, c, i: schedules.trigger(s, c, i, None, None),
    "backfill": lambda s, c, i: backfill.backfill(s, c, i, NOW_MS - 1000, NOW_MS),
    "cancel job": lambda s, c, i: jobs.cancel(s, c, i, None, None),
}
EXECUTION_READS: dict[str, Verb] = {
    "get": executions.get,
    "logs": lambda s, c, i: execution_logs.page(s, c, i, 10, 0),
}
EXECUTION_WRITES: dict[str, Verb] = {
    "cancel": lambda s, c, i: executions.cancel(s, c, i, None),
    "cancel at another version": lambda s, c, i: executions.cancel(s, c, i, None, ["99"]),
    "complete": lambda s, c, i: executions.complete(s, c, i, None),
    "fail": lambda s, c, i: executions.fail(s, c, i, "no"),
    "heartbeat": executions.heartbeat,
    "retry": executions.retry,
    "log": lambda s, c, i: execution_logs.append(s, c, i, "hello", "info"),
}


@pytest.fixture
def s() -> Services:
    return make_services()


def _make(s: Services, caller: Caller, **fields: Any) -> str:
    return schedules.create(s, caller, ScheduleRequest(**RATE | fields), s.ids.ulid(s.clock.now_ms())).definition.id


def _accepted(s: Services, caller: Caller) -> str:
    """An execution whose target has accepted it."""
    fired = schedules.trigger(s, caller, _make(s, caller), None, None)
    running = accepted(claim(fired, "worker", 1, NOW_MS), NOW_MS, NOW_MS + 60_000)
    assert s.stores.executions.update([(running, fired.rev)]) == [True]
    return fired.id


def _refusal(verb: Callable[[], object]) -> ChronoError:
    with pytest.raises(ChronoError) as refused:
        verb()
    return refused.value


@pytest.mark.parametrize("caller", [BOB, STRANGER], ids=["another owner", "another tenant"])
@pytest.mark.parametrize("name", [*SCHEDULE_READS, *SCHEDULE_WRITES])
def test_anothers_schedule_looks_missing(s: Services, name: str, caller: Caller) -> None:
    verb, theirs = (SCHEDULE_READS | SCHEDULE_WRITES)[name], _make(s, ANN)
    before = schedules.get(s, ANN, theirs)
    refused, absent = (_refusal(lambda i=i: verb(s, caller, i)) for i in (theirs, GONE))
    assert type(refused) is type(absent) is NotFound
    assert (refused.code, refused.detail.replace(theirs, "ID")) == (absent.code, absent.detail.replace(GONE, "ID"))
    assert schedules.get(s, ANN, theirs) == before


@pytest.mark.parametrize("caller", [BOB, STRANGER], ids=["another owner", "another tenant"])
@pytest.mark.parametrize("name", [*EXECUTION_READS, *EXECUTION_WRITES])
def test_anothers_execution_looks_missing(s: Services, name: str, caller: Caller) -> None:
    verb, theirs, gone = (EXECUTION_READS | EXECUTION_WRITES)[name], _accepted(s, ANN), f"{GONE}-{NOW_MS}"
    before = executions.get(s, ANN, theirs)
    refused, absent = (_refusal(lambda i=i: verb(s, caller, i)) for i in (theirs, gone))
    assert type(refused) is type(absent) is NotFound
    assert (refused.code, refused.detail.replace(theirs, "ID")) == (absent.code, absent.detail.replace(gone, "ID"))
    assert executions.get(s, ANN, theirs) == before


@pytest.mark.parametrize("name", SCHEDULE_WRITES)
def test_a_viewer_sees_every_owners_schedule_and_changes_none(s: Services, name: str) -> None:
    theirs = _make(s, ANN)
    for read in SCHEDULE_READS.values():
        read(s, VERA, theirs)
    assert isinstance(_refusal(lambda: SCHEDULE_WRITES[name](s, VERA, theirs)), Forbidden)


@pytest.mark.parametrize("name", EXECUTION_WRITES)
def test_a_viewer_sees_every_owners_execution_and_changes_none(s: Services, name: str) -> None:
    theirs = _accepted(s, ANN)
    for read in EXECUTION_READS.values():
        read(s, VERA, theirs)
    assert isinstance(_refusal(lambda: EXECUTION_WRITES[name](s, VERA, theirs)), Forbidden)


@pytest.mark.parametrize("caller", [ANN, OLGA, ADA], ids=["the owner", "an operator", "an admin"])
def test_owners_operators_and_admins_change_a_schedule(s: Services, caller: Caller) -> None:
    theirs = _make(s, ANN)
    assert schedules.pause(s, caller, theirs, None, None).definition.active is False
    schedules.delete(s, caller, theirs, None)
    with pytest.raises(NotFound):
        schedules.get(s, ANN, theirs)


def test_a_user_creates_for_nobody_else_and_gives_nothing_away(s: Services) -> None:
    with pytest.raises(Forbidden):
        _make(s, ANN, owner="bob")
    with pytest.raises(Forbidden):
        _make(s, VERA)
    mine = _make(s, ANN, owner="ann")
    with pytest.raises(Forbidden):
        schedules.edit(s, ANN, mine, ScheduleRequest(owner="bob"), None)
    assert schedules.edit(s, ADA, mine, ScheduleRequest(owner="bob"), None).definition.owner == "bob"
    with pytest.raises(NotFound):
        schedules.get(s, ANN, mine)


def test_lists_show_a_user_their_own_and_the_others_everything(s: Services) -> None:
    mine, theirs, away = _make(s, ANN), _make(s, BOB), _make(s, STRANGER)
    for i, caller in ((mine, ANN), (theirs, BOB), (away, STRANGER)):
        schedules.trigger(s, caller, i, None, None)

    def seen(caller: Caller, owner: str | None = None) -> set[str]:
        listed, _ = schedules.page(s, caller, ScheduleFilter(owner=owner), 50, None)
        fired, _ = executions.page(s, caller, ExecutionFilter(owner=owner, to_ms=NOW_MS + 9_000), 50, None)
        assert {e.schedule_id for e in fired} == {f.definition.id for f in listed}
        return {f.definition.id for f in listed}

    assert seen(ANN) == seen(ANN, "ann") == {mine}
    assert seen(ANN, "bob") == set()
    assert seen(VERA) == seen(OLGA) == seen(ADA) == {mine, theirs}
    assert seen(STRANGER) == {away}
    for status in (None, "pending"):
        found, _ = jobs.page(s, ANN, status, 50, None)
        assert {job.schedule.definition.id for job in found} == {mine}


def test_a_page_of_anothers_executions_has_no_next_one(s: Services) -> None:
    theirs = _make(s, ANN)
    for _ in range(30):
        schedules.trigger(s, ANN, theirs, None, None)
        s.clock.sleep_until(s.clock.now_ms() + 1)
    wanted = ExecutionFilter(schedule_id=theirs, to_ms=NOW_MS + 60_000)
    assert executions.page(s, BOB, wanted, 1, None) == ([], None)
    found, after = executions.page(s, ANN, wanted, 1, None)
    assert (len(found), after is None) == (1, False)


def test_a_batch_and_a_change_by_tag_reach_a_callers_own(s: Services) -> None:
    mine, theirs = _make(s, ANN), _make(s, BOB)
    results = bulk.run(s, ANN, [bulk.BulkOperation("delete", i) for i in (mine, theirs)], again=False)
    assert [type(r.error) for r in results] == [type(None), NotFound]
    assert [c.before.definition.id for c in bulk.by_tag(s, BOB, "delete", "t", None, False, None).changes] == [theirs]
    with pytest.raises(Forbidden):
        bulk.by_tag(s, VERA, "pause", "t", None, True, None)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_file_changes_a_callers_own(s: Services, dry_run: bool) -> None:
    theirs = _make(s, BOB, name="beat")

    def act(caller: Caller, **fields: Any) -> str:
        entry = files.ImportEntry(ScheduleRequest(**RATE | {"name": "beat"} | fields))
        return files.apply(s, caller, [entry], GONE, dry_run)[0].action

    before = schedules.get(s, BOB, theirs)
    assert act(ANN, owner="bob") == "refused"
    assert act(OLGA, owner="carl") == "refused"
    assert act(OLGA, owner="bob") == "unchanged"
    assert act(ANN) == "create"
    assert schedules.get(s, BOB, theirs) == before
    with pytest.raises(Forbidden):
        act(VERA)


def test_an_import_by_anothers_id_changes_nothing(s: Services) -> None:
    theirs = _make(s, BOB)
    before = schedules.get(s, BOB, theirs)
    [step] = files.apply(
        s, ANN, [files.ImportEntry(ScheduleRequest(**RATE | {"expr": "rate:3h"}), theirs)], GONE, False
    )
    assert (step.action, type(step.error)) == ("refused", NotFound)
    assert schedules.get(s, BOB, theirs) == before


def test_leases_are_the_tenants_and_breaking_one_is_for_admins(s: Services) -> None:
    wanted = AcquireLease(name="n", holder_id="w", ttl_ms=10_000)
    granted = leases.acquire(s, ANN, wanted)
    token = granted.fencing_token  # type: ignore[union-attr]
    renewal = RenewLease(name="n", holder_id="w", fencing_token=token)
    release = ReleaseLease(name="n", holder_id="w", fencing_token=token)
    assert leases.get(s, BOB, "n").holder_id == leases.get(s, VERA, "n").holder_id == "w"
    with pytest.raises(NotFound):
        leases.get(s, STRANGER, "n")
    with pytest.raises(Conflict):  # another subject is not its holder, whatever holder_id it sends
        leases.renew(s, BOB, renewal)
    for use in (
        lambda: leases.acquire(s, VERA, wanted),
        lambda: leases.renew(s, VERA, renewal),
        lambda: leases.release(s, VERA, release),
        lambda: leases.break_(s, OLGA, "n"),
    ):
        assert isinstance(_refusal(use), Forbidden)
    assert leases.break_(s, ADA, "n").broken


def test_what_belongs_to_the_deployment_is_for_those_who_run_it(s: Services) -> None:
    for refused in (
        lambda: cluster.join(s, ANN, "n", "10.0.0.7:1"),
        lambda: cluster.status(s, ANN),
        lambda: ticks.enable(s, OLGA, "second"),
        lambda: ticks.disable(s, OLGA, "second"),
    ):
        assert isinstance(_refusal(refused), Forbidden)
    cluster.join(s, who("olga", "operator"), "n", "10.0.0.7:1")
    assert [node.holder_id for node in cluster.status(s, who("vera", "viewer")).nodes] == ["n"]


def test_a_callers_authority_is_judged_again_when_others_change_the_schedule_meanwhile(s: Services) -> None:
    """An edit that lost a race must not be written over what an admin has given away in between."""
    mine = _make(s, ANN)
    given = []

    class Racing:
        def __getattr__(self, name: str) -> Any:
            return getattr(s.stores.schedules, name)

        def change(self, change: Any) -> None:
            if not given:
                given.append(schedules.edit(s, ADA, mine, ScheduleRequest(owner="bob"), None))
            s.stores.schedules.change(change)

    with pytest.raises(NotFound):
        schedules.edit(with_stores(s, schedules=Racing()), ANN, mine, ScheduleRequest(expr="rate:2h"), None)
    assert schedules.get(s, BOB, mine).definition.expr == "rate:1h"


@pytest.mark.parametrize("name", ["edit", "pause", "resume", "cancel", "delete"])
def test_who_may_is_judged_on_what_the_change_reads_anyway(s: Services, name: str) -> None:
    mine, reads = _make(s, ANN), []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(s.stores.schedules, name)

        def get(self, keys: Any) -> Any:
            reads.append(keys)
            return s.stores.schedules.get(keys)

    SCHEDULE_WRITES[name](with_stores(s, schedules=Counting()), ANN, mine)
    assert len(reads) == 1

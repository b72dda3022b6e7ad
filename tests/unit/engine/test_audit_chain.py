"""Appending to the chain: no gap and no fork, whoever else appends and wherever a process dies."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from chalicelib.core.audit import segment
from chalicelib.core.audit.entry import Entry, full_digest
from chalicelib.core.errors import ChronoError
from chalicelib.ports.services import Services
from chalicelib.process.memory import ProcessMemory
from chalicelib.usecases import audit
from chalicelib.usecases.audit import Act
from tests.kit.callers import who
from tests.kit.faulty_audit import FaultyAudit
from tests.kit.services import make_services, with_stores
from tests.kit.threads import run_together

ANN = who("ann", "admin")


def act(n: int = 0) -> Act:
    return Act(action="schedules:create", permission="schedules:write", resource=f"schedules/{n}")


def entries(s: Services, tenant: str = "default") -> list[Entry]:
    """The whole chain, checked link by link."""
    found = [e for stored in s.stores.audit.oldest(tenant, 10_000) for e in segment.read(stored.document).entries]
    previous = None
    for place, entry in enumerate(found, 1):
        assert (entry.sequence, entry.previous_sha256) == (place, previous)
        assert full_digest(entry) == entry.sha256
        previous = entry.sha256
    return found


def other_process(s: Services) -> Services:
    """Another process of the same deployment."""
    return replace(s, process=ProcessMemory())


def test_fifty_writers_of_fifty_processes_leave_no_gap_and_no_fork() -> None:
    s = make_services()
    writers = [other_process(s) for _ in range(50)]

    def write(n: int) -> None:
        for k in range(4):
            audit.record(writers[n], ANN, act(n * 10 + k))

    run_together([lambda n=n: write(n) for n in range(50)])  # type: ignore[misc]
    assert sorted(e.resource for e in entries(s)) == sorted(
        f"schedules/{n * 10 + k}" for n in range(50) for k in range(4)
    )


def test_fifty_threads_of_one_process_share_appends() -> None:
    s = make_services()
    run_together([lambda n=n: audit.record(s, ANN, act(n)) for n in range(50)])  # type: ignore[misc]
    assert len(entries(s)) == 50


def test_an_entry_that_fails_fails_for_its_writer() -> None:
    s = make_services()
    broken = with_stores(s, audit=FaultyAudit(s.stores.audit, 1, *["away"] * 1000))
    with pytest.raises(ChronoError):
        audit.record(broken, ANN, act())
    audit.record(s, ANN, act())
    assert len(entries(s)) == 1


@pytest.mark.parametrize("seed", range(300))
def test_whatever_a_call_did_or_did_not_do_an_entry_stands_once(seed: int) -> None:
    s = make_services()
    processes = [
        with_stores(other_process(s), audit=FaultyAudit(s.stores.audit, seed * 10 + n, "unknown", "away"))
        for n in range(3)
    ]
    chance = random.Random(seed)
    written, failed = set(), set()
    for n in range(20):
        try:
            audit.record(chance.choice(processes), ANN, act(n))
            written.add(f"schedules/{n}")
        except ChronoError:
            failed.add(f"schedules/{n}")
    found = [e.resource for e in entries(s)]
    assert len(found) == len(set(found)), "none stands twice"
    assert written <= set(found) <= written | failed


def test_tenants_have_chains_of_their_own() -> None:
    s = make_services()
    audit.record(s, ANN, act(1))
    audit.record(s, who("bob", "admin", tenant="other"), act(2), act(3))
    assert [e.sequence for e in entries(s)] == [1]
    assert [(e.sequence, e.actor) for e in entries(s, "other")] == [(1, "bob"), (2, "bob")]

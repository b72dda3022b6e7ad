"""An erasure in steps: whichever call fails, running it again ends it, and the audit stays valid."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import ChronoError, Conflict, Forbidden
from chalicelib.ports.services import Services
from chalicelib.process.memory import ProcessMemory
from chalicelib.usecases import audit, audit_trail, subjects
from chalicelib.usecases.audit import Act
from tests.kit.audits import chain, signing
from tests.kit.callers import who
from tests.kit.faulty_audit import FaultyAudit
from tests.kit.services import make_services, with_stores

DPO = who("dpo", "admin")
ACT = Act(action="schedules:create", permission="schedules:write", resource="schedules/1")


def lived(s: Services, times: int = 30) -> None:
    for n in range(times):
        audit.record(s, who(("ann", "bob")[n % 2], "user"), ACT)


@pytest.mark.parametrize("seed", range(60))
def test_wherever_a_call_fails_the_erasure_can_be_run_again(tmp_path: Path, seed: int) -> None:
    s = signing(make_services(), tmp_path)
    lived(s)
    for attempt in range(8):
        line = FaultyAudit(s.stores.audit, seed * 100 + attempt, "away", "unknown")
        process = with_stores(replace(s, process=ProcessMemory()), audit=line)
        try:
            subjects.erase_subject(process, DPO, "ann")
        except ChronoError:
            found = audit_trail.verify(replace(s, process=ProcessMemory()), DPO).verdict
            assert found.first_bad is None, found.reason
    subjects.erase_subject(replace(s, process=ProcessMemory()), DPO, "ann")
    assert {entry.actor for entry in chain(s)} & {"ann"} == set()
    assert sum(entry.erased for entry in chain(s)) == 15
    assert s.stores.audit.pseudonym("default", "ann") is None
    assert audit_trail.verify(s, DPO).verdict.first_bad is None


def test_a_long_audit_is_erased_step_by_step() -> None:
    s = make_services()
    lived(s, 2200)
    steps, after = 0, None
    total = 0
    while True:
        done = subjects.erase_subject(s, DPO, "ann", after)
        total, steps, after = total + done.audit_entries, steps + 1, done.after
        if after is None:
            break
    assert (total, steps > 1) == (1100, True)
    assert [entry.action for entry in chain(s)].count("subjects:erase") == 1, "entered once, at the first step"


def test_the_erasure_is_entered_also_where_nothing_else_is() -> None:
    s = make_services()
    lived(s)
    s = replace(s, config=replace(s.config, audit="off"))
    subjects.erase_subject(s, DPO, "ann")
    assert [entry.action for entry in chain(s)][-1] == "subjects:erase"
    assert audit_trail.verify(s, DPO).verdict.first_bad is None


def test_who_may_not() -> None:
    s = make_services()
    with pytest.raises(Conflict):
        subjects.erase_subject(s, DPO, "dpo")
    for role in ("operator", "user", "viewer"):
        with pytest.raises(Forbidden):
            subjects.erase_subject(s, who("eve", role), "ann")
        with pytest.raises(Forbidden):
            subjects.export(s, who("eve", role), "ann")
    assert chain(s) == []

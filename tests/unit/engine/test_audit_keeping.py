"""The minute's work on the audit: every tenant gets its turn and every intent its entry, however many there are."""

from __future__ import annotations

from chalicelib.core.audit.limits import MARK_STAYS_MS, RECOVER_AFTER_MS
from chalicelib.engine import audit_keeping
from chalicelib.ports.stores.audit import AuditMark
from chalicelib.usecases import audit
from chalicelib.usecases.audit import Act
from tests.kit.callers import who
from tests.kit.machine import NOW_MS, MovableClock, manual_machine
from tests.kit.services import make_services

SEVERAL_PAGES = 2 * audit_keeping.PAGE_ITEMS  # both pages are full: only the look after them finds the end


def test_the_marks_of_all_tenants_are_looked_at() -> None:
    s = make_services()
    for number in range(SEVERAL_PAGES):
        s.stores.audit.mark(AuditMark(f"tenant-{number:03}", NOW_MS - MARK_STAYS_MS))
    audit_keeping.run(s)
    assert s.stores.audit.marks(1) == []


def test_all_intents_that_are_old_enough_are_entered() -> None:
    clock = MovableClock(NOW_MS)
    s = make_services(manual_machine(clock))
    ann = who("ann", "admin")
    for number in range(SEVERAL_PAGES):
        audit.begin(
            s, ann, Act(action="schedules:create", permission="schedules:write", resource=f"schedules/{number}")
        )
    clock.step(RECOVER_AFTER_MS + 1_000)
    audit_keeping.recover(s)
    assert s.stores.audit.intents("~", 1) == []

"""Reading the audit in bounded steps: no entry is left out, and none comes twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from chalicelib.core.audit.limits import FILTER_MAX_SEGMENTS
from chalicelib.core.errors import Forbidden
from chalicelib.ports.services import Services
from chalicelib.usecases import audit, audit_trail
from chalicelib.usecases.audit import Act
from chalicelib.usecases.audit_trail import AuditFilter, AuditPosition
from tests.kit.audits import signing
from tests.kit.callers import who
from tests.kit.services import make_services

ADA = who("ada", "admin")


def act(n: int) -> Act:
    return Act(action="schedules:create", permission="schedules:write", resource=f"schedules/{n}")


def filled(s: Services, segments: int, size: int = 1) -> None:
    for n in range(segments):
        audit.record(s, ADA, *(act(n * size + k) for k in range(size)))


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_of_any_size_hold_every_entry_once(limit: int) -> None:
    s = make_services()
    filled(s, 5, size=3)
    seen: list[int] = []
    below: AuditPosition | None = None
    while True:
        page = audit_trail.page(s, ADA, AuditFilter(), limit, below)
        assert len(page.entries) <= limit
        seen += [entry.sequence for entry in page.entries]
        below = page.after
        if below is None:
            break
    assert seen == list(range(15, 0, -1))


def test_a_filter_that_matches_rarely_reads_no_more_than_is_bounded_and_goes_on() -> None:
    s = make_services()
    filled(s, FILTER_MAX_SEGMENTS + 5)
    wanted = AuditFilter(resource="schedules/0")
    first = audit_trail.page(s, ADA, wanted, 10)
    assert (first.entries, first.after) == ([], AuditPosition(6, 6))
    second = audit_trail.page(s, ADA, wanted, 10, first.after)
    assert ([entry.sequence for entry in second.entries], second.after) == ([1], None)


@pytest.mark.parametrize("limit", [1, 4, 6, 100])
def test_an_export_in_parts_is_the_whole(tmp_path: Path, limit: int) -> None:
    s = signing(make_services(), tmp_path)
    filled(s, 4, size=3)
    whole, checkpoints, after = audit_trail.export(s, ADA, 1000)
    assert ([entry.sequence for entry in whole], checkpoints, after) == (list(range(1, 13)), [], None)
    seen: list[int] = []
    position: int | None = 0
    while position is not None:
        part, _, position = audit_trail.export(s, ADA, limit, position)
        seen += [entry.sequence for entry in part]
    assert seen == list(range(1, 13))


def test_only_who_may_read_it_reads_it() -> None:
    s = make_services()
    for role in ("operator", "user", "viewer"):
        caller = who("eve", role)
        for call in (
            lambda c: audit_trail.page(s, c, AuditFilter(), 1),
            lambda c: audit_trail.verify(s, c),
            lambda c: audit_trail.export(s, c, 1),
        ):
            with pytest.raises(Forbidden):
                call(caller)

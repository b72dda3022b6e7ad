"""What a definition would do, without writing anything."""

from __future__ import annotations

from typing import NamedTuple

from chalicelib.core.schedules import schedule, validation
from chalicelib.core.schedules.request import PreviewRequest, given
from chalicelib.core.schedules.schedule import Definition
from chalicelib.core.security.authorize import authorize
from chalicelib.core.security.caller import Caller
from chalicelib.ports.services import Services


class Preview(NamedTuple):
    """The next runs, and which of them a daylight-saving change moved or made ambiguous."""

    runs: list[int]
    dst: list[tuple[int, str]]


def preview(s: Services, caller: Caller, wanted: PreviewRequest) -> Preview:
    """The next instants. Raises Forbidden, InvalidField."""
    authorize(caller, "schedules:read")
    now_ms = s.clock.now_ms()
    after_ms = now_ms if wanted.after_ms is None else wanted.after_ms
    definition = Definition(
        **{"timezone": s.config.default_timezone, **given(wanted, "after_ms", "count")},
        tenant=caller.tenant,
        id="preview",
        version="preview",
        since_ms=now_ms,
        created_at_ms=after_ms,
        updated_at_ms=now_ms,
    )
    validation.check(definition, now_ms, s.config.webhook_allow, True, s.config.secrets)
    runs = _runs(definition, after_ms, wanted.count)
    return Preview(runs, definition.compiled().dst_notes(runs))


def _runs(definition: Definition, after_ms: int, count: int) -> list[int]:
    if definition.type == "DELAY":
        due = schedule.first_from(definition, after_ms)
        return [] if due is None else [due]
    compiled = definition.compiled()
    runs: list[int] = []
    while len(runs) < count:
        found = compiled.next_after(runs[-1] if runs else after_ms)
        if found is None:
            break
        runs.append(found)
    return runs

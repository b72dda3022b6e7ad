"""The change feed as callers ask for it and see it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.executions.schemas import ExecutionView, of_execution
from chalicelib.api.http.requests import Opt, Query
from chalicelib.api.http.responses import ShownInstant
from chalicelib.api.leases.schemas import LeaseView
from chalicelib.api.leases.views import of_lease
from chalicelib.api.schedules.schemas import ScheduleView, of_schedule
from chalicelib.api.workflows.schemas import RunView
from chalicelib.api.workflows.views import seen_run_view
from chalicelib.core.changes.change_log import CHANGE_TYPES, Change, ChangeType, position_text
from chalicelib.core.changes.limits import POSITION_DIGITS
from chalicelib.core.executions.execution import Execution
from chalicelib.core.json_schema import formed, states
from chalicelib.core.limits import PAGE_DEFAULT_ITEMS, PAGE_MAX_ITEMS
from chalicelib.core.schedules.schedule import Schedule
from chalicelib.core.workflows.run_state import SeenRun

_TYPE = "|".join(CHANGE_TYPES)

Position = Annotated[
    str,
    formed(pattern=f"^[0-9]{{{POSITION_DIGITS}}}$", examples=["0000000000000042"], description="Opaque, and ordered."),
]


class ChangesQuery(Query, kw_only=True):
    """Which changes."""

    after: Annotated[
        Opt[str],
        Meta(description="A `position`, or `next_after` of an earlier answer. Left out or empty: from now on."),
        states(pattern=f"^([0-9]{{{POSITION_DIGITS}}})?$"),
    ] = UNSET
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX_ITEMS, description="Items on a page.")] = PAGE_DEFAULT_ITEMS
    types: Annotated[
        Opt[str],
        Meta(description="Some of execution, schedule, lease, workflow_run, by commas. Left out or empty: all."),
        states(pattern=f"^( *({_TYPE}) *(, *({_TYPE}) *)*)?$"),
    ] = UNSET


class Vanished(msgspec.Struct, kw_only=True):
    """What is left to say of what was deleted."""

    id: str
    deleted: bool = True


class ChangeView(msgspec.Struct, kw_only=True):
    """One change. `data` is the thing as its `GET` showed it then."""

    position: Position
    type: ChangeType
    at_unix_ms: ShownInstant
    id: Annotated[str, Meta(description="Of a lease, its name.")]
    data: Annotated[
        Any, Meta(description="An execution, a schedule, a lease or a run; `{id, deleted: true}` when it is no more.")
    ]


class ChangePageView(msgspec.Struct, kw_only=True):
    """Changes, oldest first. Go on with `after={next_after}`; a page may be empty and still go on."""

    items: list[ChangeView]
    next_after: Position


def of_change(position: int, change: Change, max_drift_ms: int, trace_url_template: str | None) -> ChangeView:
    """A change as those see it who may see the thing."""
    return ChangeView(
        position=position_text(position),
        type=change.type,
        at_unix_ms=change.at_ms,
        id=change.id,
        data=_data(change, max_drift_ms, trace_url_template),
    )


def _data(
    change: Change, max_drift_ms: int, trace_url_template: str | None
) -> ExecutionView | ScheduleView | LeaseView | RunView | Vanished:
    if change.now is None:
        return Vanished(id=change.id)
    if isinstance(change.now, Execution):
        return of_execution(change.now, trace_url_template)
    if isinstance(change.now, SeenRun):
        return seen_run_view(change.now)
    if isinstance(change.now, Schedule):
        return of_schedule(change.now, change.at_ms)
    return of_lease(change.now, change.at_ms, max_drift_ms)

"""The change feed over HTTP."""

from __future__ import annotations

from chalicelib.api.changes import schemas
from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply
from chalicelib.api.http.requests import Body, given
from chalicelib.core.changes.change_log import position_text
from chalicelib.usecases import changes

PATH = "/api/v1/changes"


def page(call: Call[Body, schemas.ChangesQuery]) -> Reply:
    """A page of changes."""
    q, s = call.query, call.services
    text, listed = given(q.after) or None, given(q.types) or None
    after = None if text is None else changes.position_of(text)
    types = None if listed is None else changes.types_of(listed)
    found = changes.page(s, call.caller, after, q.limit, types)
    shown = s.config.max_drift_ms, s.config.trace_url_template
    items = [schemas.of_change(placed.position, placed.change, *shown) for placed in found.changes]
    return Reply(200, schemas.ChangePageView(items=items, next_after=position_text(found.next_after)))


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="GET",
            path=PATH,
            summary="What changed after a position, oldest first",
            tag="changes",
            permission="executions:read",
            handler=page,
            query=schemas.ChangesQuery,
            answers={200: schemas.ChangePageView},
            errors=(410,),
            description="Every change of an execution, a schedule or a lease, and every new state of a workflow's run, "
            "that the caller may see, each once and in order. Without `after` there are no items, and `next_after` is "
            "where the feed ends now. A cursor is good for `CHRONO_CHANGES_RETENTION`; an older one is 410 "
            "`cursor_expired`: take a snapshot and begin anew.",
        )
    ]

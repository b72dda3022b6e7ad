"""``:explain`` of a schedule over HTTP."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply
from chalicelib.api.http.requests import Body, Instant, Opt, Query, given
from chalicelib.api.http.responses import ShownInstant
from chalicelib.api.schedules.operations import ONE, id_of
from chalicelib.core.executions.explanation import ReasonCode
from chalicelib.usecases import explain


class ExplainQuery(Query, kw_only=True):
    """Which instant. Left out: the next run, or now when there is none."""

    at_unix_ms: Opt[Instant] = UNSET


class ReasonView(msgspec.Struct):
    """One thing that had a part in it."""

    code: ReasonCode
    detail: str


class ExplanationView(msgspec.Struct, kw_only=True):
    """Why. `version` is the one in force at the instant, null before the first. `outcome` is a delivery state or
    `lost`, and is left out where nothing came of it yet."""

    at_unix_ms: ShownInstant
    owed: bool
    outcome: Opt[str] = UNSET
    reasons: list[ReasonView]
    version: str | None
    next_run_unix_ms: ShownInstant | None


def show(call: Call[Body, ExplainQuery]) -> Reply:
    """Why an instant did or did not fire."""
    found = explain.explain_instant(call.services, call.caller, id_of(call), given(call.query.at_unix_ms))
    e = found.explanation
    return Reply(
        200,
        ExplanationView(
            at_unix_ms=e.at_ms,
            owed=e.owed,
            outcome=UNSET if e.outcome is None else e.outcome,
            reasons=[ReasonView(*reason) for reason in e.reasons],
            version=e.version,
            next_run_unix_ms=found.next_run_ms,
        ),
    )


def operations() -> list[Operation]:
    """The calls of this part."""
    return [
        Operation(
            method="GET",
            path=ONE + ":explain",
            summary="Why an instant did or did not fire, will or will not",
            tag="schedules",
            permission="schedules:read",
            handler=show,
            query=ExplainQuery,
            answers={200: ExplanationView},
            errors=(404,),
            description="`owed` is false for instants that are off the grid, excluded, paused, or outside its bounds.",
        )
    ]

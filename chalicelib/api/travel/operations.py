"""Time travel over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, Opt, Query
from chalicelib.api.workflows import views
from chalicelib.api.workflows.schemas import EventView, RunId, RunView
from chalicelib.core.decoders import converted
from chalicelib.core.errors import InvalidField
from chalicelib.core.workflows.limits import EXPRESSION_MAX_CHARS, RUN_MAX_EVENTS
from chalicelib.core.workflows.session import BREAKPOINTS_MAX_COUNT, Breakpoint, TravelSession
from chalicelib.usecases import travel
from chalicelib.usecases.travel import Moment, Watched

COLLECTION: Final = "/api/v1/sessions"
WATCHES_MAX_COUNT: Final = 20
ONE: Final = COLLECTION + "/{session_id}"
_TAGGED: Final = {"ETag": "The version, for `If-Match`: where the session is, and its breakpoints."}


class TravelBody(Body, kw_only=True):
    """A session to make."""

    live: Annotated[bool, Meta(description="Breakpoints stop the run itself: it must live.")] = False


class JumpBody(Body, kw_only=True):
    """Where to."""

    position: Annotated[int, Meta(ge=0, le=RUN_MAX_EVENTS, description="The number of the last event applied.")]
    watch: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=EXPRESSION_MAX_CHARS)]],
        Meta(max_length=WATCHES_MAX_COUNT, description="Expressions, whose values then the answer has."),
    ] = msgspec.field(default_factory=list)


class ConditionBody(Body, kw_only=True):
    """An expression, as definitions of workflows write it."""

    cel: Annotated[str, Meta(min_length=1, max_length=EXPRESSION_MAX_CHARS)]


class ImportedBreakpointBody(Body, kw_only=True):
    """A breakpoint as an export has it."""

    kind: Literal["step", "type", "condition", "error"]
    value: Annotated[str, Meta(max_length=EXPRESSION_MAX_CHARS)] = ""


class BreakpointBody(Body, kw_only=True):
    """Where to stop: `value` is a node, a type of node, or an expression that comes to hold."""

    kind: Literal["step", "type", "condition", "error"]
    value: Annotated[str, Meta(max_length=EXPRESSION_MAX_CHARS)] | ConditionBody = ""


class BreakpointsBody(Body, kw_only=True):
    """All breakpoints of a session."""

    breakpoints: Annotated[list[BreakpointBody], Meta(max_length=BREAKPOINTS_MAX_COUNT)]


class ImportTravelBody(Body, kw_only=True):
    """An export."""

    format: Literal["chronowatch.session/v1"]
    run_id: RunId
    position: Annotated[int, Meta(ge=0, le=RUN_MAX_EVENTS)]
    events: list[dict[str, Any]]
    document: dict[str, Any]
    breakpoints: list[ImportedBreakpointBody] = msgspec.field(default_factory=list)
    payloads: dict[str, str] = msgspec.field(default_factory=dict)


class TravelView(msgspec.Struct, kw_only=True):
    """A session."""

    session_id: str
    position: int
    run_id: str


class BreakpointView(msgspec.Struct, kw_only=True):
    """A breakpoint."""

    kind: Literal["step", "type", "condition", "error"]
    value: str


class ExportedSession(msgspec.Struct, kw_only=True):
    """All of a session: the log, the definition, where it is."""

    format: str
    run_id: str
    position: int
    breakpoints: list[BreakpointView]
    events: list[dict[str, Any]]
    document: dict[str, Any]
    payloads: Annotated[dict[str, str], Meta(description="Larger values of the log as JSON text, by their hash.")]


class WatchedView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An expression, and its value then, or why it had none."""

    expression: str
    value: Any = UNSET
    error: Opt[str] = UNSET


class MomentView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The run as of an event, and the breakpoint that stopped there."""

    position: int
    event: EventView | None
    state: RunView
    breakpoint: Opt[BreakpointView] = UNSET
    watched: Opt[list[WatchedView]] = UNSET


def create(call: Call[TravelBody, Query]) -> Reply:
    """Make a session."""
    return _made(travel.create(call.services, call.caller, call.params["run"], call.body.live, call.new_id()))


def forward(call: Call[Body, Query]) -> Reply:
    """One event on."""
    return _moment(travel.step(call.services, call.caller, call.params["session"], 1, call.versions))


def backward(call: Call[Body, Query]) -> Reply:
    """One event back."""
    return _moment(travel.step(call.services, call.caller, call.params["session"], -1, call.versions))


def jump(call: Call[JumpBody, Query]) -> Reply:
    """To an event."""
    session_id, body = call.params["session"], call.body
    return _moment(travel.jump(call.services, call.caller, session_id, body.position, body.watch, call.versions))


def go_on(call: Call[Body, Query]) -> Reply:
    """To the next breakpoint."""
    return _moment(travel.go_on(call.services, call.caller, call.params["session"], call.versions))


def _wanted(place: int, one: BreakpointBody) -> Breakpoint:
    if isinstance(one.value, str):
        return Breakpoint(one.kind, one.value)
    if one.kind != "condition":
        raise InvalidField.of(f"{place}.value", "only a condition takes an expression")
    return Breakpoint(one.kind, one.value.cel)


def breakpoints(call: Call[BreakpointsBody, Query]) -> Reply:
    """Replace the breakpoints."""
    wanted = [_wanted(place, one) for place, one in enumerate(call.body.breakpoints)]
    made = travel.set_breakpoints(call.services, call.caller, call.params["session"], wanted, call.versions)
    return Reply(200, [_shown(one) for one in made.breakpoints], {"ETag": entity_tag(made.version)})


def export(call: Call[Body, Query]) -> Reply:
    """The session as one document."""
    found = travel.export(call.services, call.caller, call.params["session"])
    return Reply(200, converted(found.document, ExportedSession), {"ETag": entity_tag(found.version)})


def bring_in(call: Call[ImportTravelBody, Query]) -> Reply:
    """A session from its export."""
    return _made(travel.bring_in(call.services, call.caller, msgspec.to_builtins(call.body), call.new_id()))


def _made(made: TravelSession) -> Reply:
    view = TravelView(session_id=made.id, position=made.position, run_id=made.run_id)
    return Reply(201, view, {"ETag": entity_tag(made.version)})


def _moment(moment: Moment) -> Reply:
    event, stop = moment.event, moment.stopped_by
    shown = MomentView(
        position=moment.position,
        event=None if event is None else views.event_view(event),
        state=views.run_view(moment.shown),
        breakpoint=UNSET if stop is None else _shown(stop),
        watched=[_watched(one) for one in moment.watched] or UNSET,
    )
    return Reply(200, shown, {"ETag": entity_tag(moment.version)})


def _watched(one: Watched) -> WatchedView:
    if one.error:
        return WatchedView(expression=one.expression, error=one.error)
    return WatchedView(expression=one.expression, value=one.value)


def _shown(stop: Breakpoint) -> BreakpointView:
    return BreakpointView(kind=stop.kind, value=stop.value)


def _operation(method: str, path: str, summary: str, handler: Any, **more: Any) -> Operation:
    """All of them read runs, and none changes one."""
    return Operation(
        method=method,
        path=path,
        summary=summary,
        tag="sessions",
        permission="workflows:read",
        handler=handler,
        guarded=path.startswith(ONE) and method != "GET",
        answer_headers=_TAGGED,
        **more,
    )


def operations() -> list[Operation]:
    """The calls of this noun."""
    moment: dict[int, Any] = {200: MomentView}
    made: dict[int, Any] = {201: TravelView}
    path = "/api/v1/runs/{run_id}/sessions"
    return [
        _operation(
            "POST",
            path,
            "Travel through the log of a run",
            create,
            body=TravelBody,
            answers=made,
            errors=(404,),
            creates=True,
        ),
        _operation("POST", ONE + ":step-forward", "One event on", forward, answers=moment, errors=(404,)),
        _operation("POST", ONE + ":step-backward", "One event back", backward, answers=moment, errors=(404,)),
        _operation("POST", ONE + ":jump", "To any event", jump, body=JumpBody, answers=moment, errors=(404,)),
        _operation("POST", ONE + ":continue", "To the next breakpoint", go_on, answers=moment, errors=(404,)),
        _operation(
            "PUT",
            ONE + "/breakpoints",
            "Replace the breakpoints",
            breakpoints,
            body=BreakpointsBody,
            body_list="breakpoints",
            answers={200: list[BreakpointView]},
            errors=(404,),
            description="`step` takes a node, `type` a type of node; both stop before the node begins.",
        ),
        _operation(
            "GET", ONE + ":export", "The session as one document", export, answers={200: ExportedSession}, errors=(404,)
        ),
        _operation(
            "POST",
            COLLECTION + ":import",
            "A session from its export",
            bring_in,
            body=ImportTravelBody,
            answers=made,
            creates=True,
        ),
    ]

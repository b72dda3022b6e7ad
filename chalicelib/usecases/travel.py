"""Sessions of time travel: a run as of any event of its log, stepped through, exported and imported.

``versions`` are those that a session may have when it is read for the call (None: any). Of two callers who move one at
the same time, the last one's write stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from chalicelib.core.decoders import converted, decoder_of
from chalicelib.core.errors import Conflict, FieldError, Forbidden, InvalidField, NotFound, PreconditionFailed
from chalicelib.core.security.authorize import authorize, missing
from chalicelib.core.security.caller import Caller
from chalicelib.core.workflows import compiled, output_ref, session
from chalicelib.core.workflows.compiled import CompiledWorkflow
from chalicelib.core.workflows.expression_names import VARIABLES
from chalicelib.core.workflows.happenings import GoesOn, SetsStops
from chalicelib.core.workflows.limits import RUN_MAX_EVENTS
from chalicelib.core.workflows.parse import TYPES
from chalicelib.core.workflows.run_state import RunEvent, RunState
from chalicelib.core.workflows.session import BREAKPOINTS_MAX_COUNT, Breakpoint, TravelSession
from chalicelib.engine.workflows import outputs
from chalicelib.engine.workflows.run_access import LoadedRun, advance, load, parts_of, workflow
from chalicelib.engine.workflows.scope import StepScope
from chalicelib.ports.services import Services
from chalicelib.ports.workflow_steps import StepFailed
from chalicelib.usecases import runs
from chalicelib.usecases.runs import ShownRun

EXPORT_FORMAT = "chronowatch.session/v1"
EXPORT_PAYLOADS_MAX_BYTES = 128 * 1024  # a request that brings them back has a bound, too
LIVE_WAIT_MS = 1_000
LIVE_POLL_MS = 50
SESSION_RETENTION_S = 7 * 86_400  # since it was used last
_NAME = "session"
_NO_PARENT = "the run that this one is an item of is not here"


class Watched(NamedTuple):
    """The value of an expression at a moment; or why it has none, where ``error`` is not empty."""

    expression: str
    value: Any
    error: str = ""


class TravelDocument(NamedTuple):
    """All of a session, and its version."""

    version: str
    document: dict[str, Any]


class Moment(NamedTuple):
    """Where a session is: the event applied last, and the run as of then. ``version`` is that of the session."""

    version: str
    position: int
    event: RunEvent | None
    shown: ShownRun
    stopped_by: Breakpoint | None = None
    watched: tuple[Watched, ...] = ()


def create(s: Services, caller: Caller, run_id: str, live: bool, session_id: str) -> TravelSession:
    """A session at the last event of a run; with ``live`` its breakpoints stop the run itself.

    Raises NotFound, Conflict (``run_ended``).
    """
    if live and runs.to_steer(s, caller, run_id).state.is_ended:
        raise Conflict("the run has ended: only one that lives can be stopped", code="run_ended")
    runs.get(s, caller, run_id)
    events = s.stores.runs.events(caller.tenant, run_id, 0, RUN_MAX_EVENTS)
    made = TravelSession(session_id, caller.tenant, caller.subject, run_id, len(events), is_live=live)
    _keep(s, made)
    return made


def step(s: Services, caller: Caller, session_id: str, by: int, versions: Sequence[str] | None = None) -> Moment:
    """One event forward or back. Raises NotFound, PreconditionFailed, InvalidField at either end of the log.

    At the end of the log of a live run that stands at a breakpoint, forward lets it go on to the next node.
    """
    found = _load(s, caller, session_id, versions)
    if by > 0 and found.is_live and found.position >= len(_log(s, found)):
        _release(s, caller, found, step=True)
    return _move(s, caller, found, found.position + by)


def jump(
    s: Services,
    caller: Caller,
    session_id: str,
    position: int,
    watch: Sequence[str] = (),
    versions: Sequence[str] | None = None,
) -> Moment:
    """To any event, with the values that expressions had there. Raises NotFound, PreconditionFailed, InvalidField."""
    found = _load(s, caller, session_id, versions)
    moment = _move(s, caller, found, position)
    if not watch:
        return moment
    run = LoadedRun(_housed(s, caller, found)(moment.shown.run.state), moment.shown.run.workflow)
    return moment._replace(watched=tuple(_watched(s, run, text) for text in watch))


def _watched(s: Services, run: LoadedRun, text: str) -> Watched:
    try:
        return Watched(text, StepScope(s, run, "").evaluate(text))
    except StepFailed as wrong:
        return Watched(text, None, wrong.error)
    except NotFound:
        return Watched(text, None, _NO_PARENT)


def go_on(s: Services, caller: Caller, session_id: str, versions: Sequence[str] | None = None) -> Moment:
    """To the next breakpoint, or the end of the log. Raises NotFound, PreconditionFailed."""
    found = _load(s, caller, session_id, versions)
    if found.is_live:
        return _go_on_live(s, caller, found)
    events, made = _log(s, found), _workflow(s, found)
    graph = made.graph(_scope(events))
    position, stop = session.go_on(
        graph, events, found.position, found.breakpoints, _judge(s, made, _housed(s, caller, found))
    )
    return _move(s, caller, found, position)._replace(stopped_by=stop)


def set_breakpoints(
    s: Services, caller: Caller, session_id: str, wanted: Sequence[Breakpoint], versions: Sequence[str] | None = None
) -> TravelSession:
    """Replace all breakpoints. Raises NotFound, PreconditionFailed, InvalidField."""
    found = _load(s, caller, session_id, versions)
    if len(wanted) > BREAKPOINTS_MAX_COUNT:
        raise InvalidField.of("body", f"a session has at most {BREAKPOINTS_MAX_COUNT} breakpoints")
    for place, stop in enumerate(wanted):
        if stop.kind == "condition" and (problem := parts_of(s).expressions.check(stop.value, VARIABLES)):
            raise InvalidField.of(f"{place}.value", problem)
        if stop.kind == "type" and stop.value not in TYPES:
            raise InvalidField.of(f"{place}.value", f"must be one of {', '.join(sorted(TYPES))}")
        if stop.kind == "step" and stop.value not in _workflow(s, found).whole.nodes:
            raise InvalidField.of(f"{place}.value", f"the run has no node {stop.value[:80]!r}")
    if found.is_live:
        runs.to_steer(s, caller, found.run_id)
        stops = tuple({"kind": stop.kind, "value": stop.value} for stop in wanted)
        advance(s, caller.tenant, found.run_id, SetsStops(found.id, stops))
    changed = replace(found, breakpoints=tuple(wanted))
    _keep(s, changed)
    return changed


def export(s: Services, caller: Caller, session_id: str) -> TravelDocument:
    """All of a session as one document. Raises NotFound."""
    found = _load(s, caller, session_id)
    whole = replace(found, events=tuple(_log(s, found)), document=_document(s, found))
    said: dict[str, Any] = msgspec.to_builtins(whole)
    for name in ("id", "tenant", "owner"):
        del said[name]
    document = json.loads(whole.document)
    payloads = _payloads(s, found, _home(s, caller, found), whole.events)
    return TravelDocument(found.version, {"format": EXPORT_FORMAT, **said, "document": document, "payloads": payloads})


def bring_in(s: Services, caller: Caller, given: Mapping[str, Any], session_id: str) -> TravelSession:
    """A session from its export. Raises InvalidField."""
    authorize(caller, "workflows:read")
    if given.get("format") != EXPORT_FORMAT:
        raise InvalidField.of("format", f"must be {EXPORT_FORMAT}")
    own = {"id": session_id, "tenant": caller.tenant, "owner": caller.subject}
    try:
        document = json.dumps(given["document"], separators=(",", ":"))
        made = converted({**given, **own, "document": document}, TravelSession)
        _check_document(document)
        session.as_of(made.events, len(made.events))
    except (KeyError, ValueError, TypeError, AttributeError, msgspec.ValidationError) as wrong:
        raise InvalidField.of("events", f"is no log of a run: {wrong}") from None
    if not 1 <= made.position <= len(made.events):
        raise InvalidField.of("position", f"must be 1 to {len(made.events)}")
    for name, text in given.get("payloads", {}).items():
        if not output_ref.is_named(name, text.encode()):
            raise InvalidField.of(f"payloads.{name}", "is not what its name is the hash of")
    _keep(s, made)
    for name, text in given.get("payloads", {}).items():
        s.stores.runs.put_payload(made.tenant, _place_of(made), name, text.encode(), _expires_s(s))
    return made


def _check_document(text: str) -> None:
    try:
        compiled.of_text(text)
    except InvalidField as wrong:
        raise InvalidField([FieldError(f"document.{e.field}", e.message) for e in wrong.errors]) from None


def _payloads(s: Services, found: TravelSession, home: str, events: Sequence[RunEvent]) -> dict[str, str]:
    """The large values of a log, as their text, as many as an answer takes; the rest stays a reference."""
    kept: dict[str, str] = {}
    room = EXPORT_PAYLOADS_MAX_BYTES
    for ref in output_ref.refs_in(events):
        if ref["size"] > room:
            continue
        content = outputs.contents(s, found.tenant, home, [ref]).get(ref["ref"])
        if content is not None:
            kept[ref["ref"]] = content.decode()
            room -= len(content)
    return kept


def _expires_s(s: Services) -> int:
    return s.clock.now_ms() // 1000 + SESSION_RETENTION_S


def _go_on_live(s: Services, caller: Caller, found: TravelSession) -> Moment:
    """Let a live run go on, and wait for a moment whether it stops again, or ends."""
    run = _release(s, caller, found, step=False)
    until_ms = s.clock.now_ms() + LIVE_WAIT_MS
    while not run.is_ended and _stop_of(run) is None and s.clock.now_ms() < until_ms:
        s.clock.sleep_until(s.clock.now_ms() + LIVE_POLL_MS)
        run = load(s, caller.tenant, found.run_id).state
    return _move(s, caller, found, run.events)._replace(stopped_by=_stop_of(run))


def _release(s: Services, caller: Caller, found: TravelSession, *, step: bool) -> RunState:
    runs.to_steer(s, caller, found.run_id)
    run = load(s, caller.tenant, found.run_id)
    if _stop_of(run.state) is None:
        return run.state
    return advance(s, caller.tenant, found.run_id, GoesOn(caller.subject, step), run).state


def _stop_of(run: RunState) -> Breakpoint | None:
    """The breakpoint that a live run stands at."""
    found = next((n.stop for n in run.nodes.values() if n.stop is not None and n.status == "waiting"), None)
    return None if found is None else converted(found, Breakpoint)


def _move(s: Services, caller: Caller, found: TravelSession, position: int) -> Moment:
    events = _log(s, found)
    if not 1 <= position <= len(events):
        raise InvalidField.of("position", f"the log has the events 1 to {len(events)}")
    moved = replace(found, position=position)
    _keep(s, moved)
    made, state = _workflow(s, found), session.as_of(events, position)
    shown = runs.shown(s, caller, LoadedRun(_housed(s, caller, found)(state), made))
    return Moment(moved.version, position, events[position - 1], shown._replace(run=LoadedRun(state, made)))


def _judge(
    s: Services, made: CompiledWorkflow, housed: Callable[[RunState], RunState]
) -> Callable[[RunState, str], bool]:
    def holds(state: RunState, text: str) -> bool:
        try:
            return StepScope(s, LoadedRun(housed(state), made), "").evaluate(text) is True
        except (StepFailed, NotFound):
            return False  # of what has not happened yet an expression can say nothing

    return holds


def _place_of(found: TravelSession) -> str:
    """Where a session itself is kept, and the values that were brought along with it."""
    return f"session~{found.id}"


def _home(s: Services, caller: Caller, found: TravelSession) -> str:
    """The run whose values the session shows. Who brought a log may have written it, and any run's id into it: one that
    the caller may not see lends it nothing."""
    return found.run_id if not found.document or _is_seen(s, caller, found.run_id) else _place_of(found)


def _is_seen(s: Services, caller: Caller, run_id: str) -> bool:
    try:
        runs.to_read(s, caller, run_id)
    except (NotFound, Forbidden):
        return False
    return True


def _housed(s: Services, caller: Caller, found: TravelSession) -> Callable[[RunState], RunState]:
    """A state, with values from where the caller may read them, whatever its log says of tenant, run and parent."""
    if not found.document:
        return lambda state: state
    home = _home(s, caller, found)
    seen: dict[str, bool] = {}

    def housed(state: RunState) -> RunState:
        parent = state.parent
        if parent not in seen:
            seen[parent] = bool(parent) and _is_seen(s, caller, parent)
        around = parent if seen[parent] else _place_of(found)  # under which there is no run
        root = state.root or found.run_id
        return replace(state, tenant=found.tenant, id=home, parent=around, root=root)

    return housed


def _scope(events: Sequence[RunEvent]) -> tuple[str, ...]:
    return tuple(events[0].data["run"].get("scope", ()))


def _log(s: Services, found: TravelSession) -> Sequence[RunEvent]:
    return found.events or s.stores.runs.events(found.tenant, found.run_id, 0, RUN_MAX_EVENTS)


def _document(s: Services, found: TravelSession) -> str:
    return found.document or json.dumps(_workflow(s, found).definition.document, separators=(",", ":"))


def _workflow(s: Services, found: TravelSession) -> CompiledWorkflow:
    if found.document:
        return compiled.of_text(found.document)
    state = s.stores.runs.events(found.tenant, found.run_id, 0, 1)[0].data["run"]
    return workflow(s, found.tenant, state["workflow"], state["version"])


def _load(s: Services, caller: Caller, session_id: str, versions: Sequence[str] | None = None) -> TravelSession:
    authorize(caller, "workflows:read")
    kept = s.stores.runs.payloads(caller.tenant, f"session~{session_id}", [_NAME])
    found = decoder_of(TravelSession).decode(kept[_NAME]) if kept else None
    if found is None or (found.owner != caller.subject and not caller.is_admin):
        raise missing(f"session {session_id}")
    if not found.document:
        runs.get(s, caller, found.run_id)  # who may not see the run any more does not see it here
    if versions is not None and found.version not in versions:
        raise PreconditionFailed(f"the session is at version {found.version}")
    return found


def _keep(s: Services, made: TravelSession) -> None:
    s.stores.runs.put_payload(made.tenant, _place_of(made), _NAME, msgspec.json.encode(made), _expires_s(s))

"""What the API puts on record, read off the table of operations.

An operation that changes something is recorded without saying so. docs/security.md names what is recorded and when.

The digests before and after a change are of what ``GET`` of the same resource shows, redacted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from chalicelib.api.http.judgements import Judgements
from chalicelib.api.http.operations import Call, Operation, Table
from chalicelib.api.http.problem import Reply
from chalicelib.core.errors import ChronoError, Unavailable
from chalicelib.core.security.caller import Caller, system_caller
from chalicelib.ports.services import Services

if TYPE_CHECKING:  # loaded with the first call that is recorded: the API starts without
    from chalicelib.core.rules.judged import Judged
    from chalicelib.usecases.audit import Act

Kind = Literal["change", "machine", "read"]

_MACHINES: Final = frozenset({"leases:acquire", "executions:report"})  # what workers and holders do all the time
_VERBS: Final = {"POST": "create", "PATCH": "edit", "PUT": "write", "DELETE": "delete"}
_ITEM_VERBS: Final = {"patch": "edit", "update": "edit"}
_NOUNS: Final = {"jobs": "schedules", "join": "cluster", "tasks": "executions"}
_PATH: Final = re.compile(r"(/api(?:/v1)?)?/([a-z-]+)(/\{\w+\})?(?:[:/]([a-z-]+))?")
_NODE: Final = re.compile(r"(/api/v1)/([a-z-]+)/\{\w+\}/nodes/")  # a gate is its run's, whatever permission it asks
_JOIN: Final = "/join"
_BREAK: Final = "/api/v1/leases:break"


def kind_of(operation: Operation) -> Kind:
    """Whether it changes something at a person's wish, at a machine's, or nothing."""
    if operation.permission in _MACHINES:
        return "machine"
    changes = operation.method != "GET" and not operation.permission.endswith(":read") and not operation.harmless
    return "change" if changes or operation.sensitive else "read"


def is_recorded(mode: str, operation: Operation, is_dry: bool) -> bool:
    """Whether a call that is allowed is recorded with CHRONO_AUDIT=``mode``. A dry run changes nothing."""
    if mode == "off" or operation.records_itself:
        return False
    kind = "read" if is_dry else kind_of(operation)
    return mode == "all" or kind == "change"


def action_of(operation: Operation) -> str:
    """As ``schedules:create``, ``schedules:pause``, ``leases:break``; a read is its permission."""
    if operation.permission.endswith(":read") and not operation.sensitive:
        return operation.permission
    found = _PATH.fullmatch(operation.path)
    verb = found and found[4]
    if not verb and operation.path == _JOIN:
        verb = "join"
    if not verb and not operation.permission.endswith((":write", ":read")):
        return operation.permission  # as DELETE of a task, which cancels an execution
    return f"{_noun(operation)}:{verb or _VERBS.get(operation.method, 'read')}"


def resource_of(operation: Operation, params: Mapping[str, str], body: Any = None, made: Any = None) -> str:
    """As ``schedules/{id}``; the noun alone for a list, and for a subject, who may be erased. ``made`` is what a
    creation, or the beginning of a job, answered."""
    noun = _noun(operation)
    name = next(iter(params.values()), None)
    if name is None and noun == "leases":
        name = getattr(body, "name", None)
    if name is None and operation.creates:
        name = getattr(made, "id", None)
    if name is None and isinstance(job := getattr(made, "job_id", None), str):
        return f"bulk-jobs/{job}"
    return f"{noun}/{name}" if isinstance(name, str) and noun != "subjects" else noun


class Refusal(NamedTuple):
    """A call that was refused: by its roles, or by policies, whose decisions are ``judged``."""

    operation: Operation
    params: Mapping[str, str]
    code: str
    judged: Sequence[Judged]
    trace_id: str


def note_denial(s: Services, caller: Caller, refused: Refusal) -> None:
    """Enter a denial. The caller is refused in any case: that the entry could not be written is logged."""
    if s.config.audit == "off":
        return
    from chalicelib.usecases import audit

    operation = refused.operation
    resource = resource_of(operation, refused.params)
    if "/" not in resource and refused.judged:  # its name was in the body
        resource = _resource_of(refused.judged[-1])
    act = audit.Act(
        action=action_of(operation),
        permission=operation.permission,
        resource=resource,
        decision="deny",
        outcome="refused",
        detail=refused.code,
        trace_id=refused.trace_id,
    )
    noted = [replace(act, detail=text) for judged in refused.judged for text in _notes(judged)]
    _record_quietly(s, caller, noted or [act])


def run(table: Table, call: Call[Any, Any], handler: Callable[[], Reply], found: Judgements) -> Reply:
    """Run a call that is permitted, and enter it where it is recorded. Raises as ``handler``, and Unavailable.

    What policies found is recorded of calls that are not, too: that is what a rule with the action ``audit`` is for.
    """
    s, operation = call.services, call.operation
    is_dry = _is_dry(call)
    if not is_recorded(s.config.audit, operation, is_dry):
        reply = handler()
        if found.all and s.config.audit != "off" and not is_dry:
            _record_quietly(s, call.caller, _Watched(table, call, read=False).judged_acts(found.all))
        return reply
    from chalicelib.usecases import audit

    watched = _Watched(table, call)
    if operation.method == "GET" or operation.permission.endswith(":read"):
        audit.record(s, call.caller, watched.act())  # before anything is shown
        return handler()
    intent = audit.begin(s, call.caller, watched.act())
    try:
        reply = handler()
    except ChronoError as error:
        if error.status < 500:
            audit.drop(s, intent)
        else:
            audit.leave_unknown(s, intent, watched.act(detail=error.code))
        raise
    except Exception:
        audit.leave_unknown(s, intent, watched.act(detail="internal_error"))
        raise
    if "Idempotent-Replayed" in reply.headers:
        audit.drop(s, intent)
    else:
        audit.finish(s, intent, watched.acts(reply, [] if is_dry else found.all))
    return reply


def _record_quietly(s: Services, caller: Caller, acts: Sequence[Act]) -> None:
    """Enter what is over by now: an entry that cannot be written is logged."""
    from chalicelib.usecases import audit

    try:
        audit.record(s, caller, *acts)
    except ChronoError as problem:
        audit.log.error("a decision is missing from the audit: %s", problem)


def _notes(judged: Judged) -> list[str]:
    from chalicelib.core.rules.judged import notes

    return notes(judged)


def _resource_of(judged: Judged) -> str:
    """What was judged; the noun alone for what was to be made, since it is not there."""
    denied_making = judged.action.endswith(":create") and judged.denies
    return judged.resource.partition("/")[0] if denied_making else judged.resource


def _is_dry(call: Call[Any, Any]) -> bool:
    """Whether a call says so, in its query or in its body."""
    return any(getattr(said, "dry_run", False) is True for said in (call.query, call.body))


class _Watched:
    """A call whose resource is read before and after it."""

    def __init__(self, table: Table, call: Call[Any, Any], read: bool = True) -> None:
        self._call = call
        changes = read and kind_of(call.operation) == "change" and call.operation.method != "GET"
        self._reader = _reader(table, call.operation) if changes else None
        self._params = {"name": call.body.name} if call.operation.path == _BREAK else dict(call.params)
        self._before = self._digest()

    def act(self, detail: str = "") -> Act:
        """The call's entry before it is done, or when its end is not known."""
        from chalicelib.usecases.audit import Act

        call = self._call
        return Act(
            action=action_of(call.operation),
            permission=call.operation.permission,
            resource=resource_of(call.operation, call.params, call.body),
            before=self._before,
            detail=detail,
            trace_id=call.trace_id,
        )

    def judged_acts(self, judged: Sequence[Judged], own: Act | None = None) -> list[Act]:
        """One for each note on a decision: of the call's own action, unless it is a call on many (``own`` None)."""
        bare = self.act()
        return [
            replace(
                bare if own is None else own,
                action=one.action if own is None else own.action,
                resource=_resource_of(one) if own is None else own.resource,
                decision="deny" if one.denies else "allow",
                outcome="refused" if one.denies else "done",
                before=None,
                after=None,
                detail=text,
            )
            for one in judged
            for text in _notes(one)
        ]

    def acts(self, reply: Reply, judged: Sequence[Judged]) -> list[Act]:
        """The call's own entry, one for each thing that a call on many changed, and what policies found."""
        call, body = self._call, reply.body
        own = replace(
            self.act(),
            resource=resource_of(call.operation, call.params, call.body, body),
            after=self._after(body),
        )
        items = getattr(body, "items", None)
        found = items if isinstance(items, list) else []
        if not isinstance(items, list):
            first, *rest = self.judged_acts(judged, own) or [own]
            return [replace(own, detail=first.detail), *rest]
        changed = [_act_of_item(own, verb, item) for item in found if (verb := _verb_of_item(body, item))]
        return [own, *changed, *self.judged_acts(judged)]

    def _after(self, body: Any) -> str | None:
        if self._call.operation.method == "DELETE":
            return None
        if self._reader is not None and type(body) is not self._reader.answers.get(200):
            with suppress(Unavailable):  # the change is done: its entry does without
                return self._digest()
            return None
        return None if isinstance(getattr(body, "items", None), list) else _digest(body)

    def _digest(self) -> str | None:
        """Of the resource as the service itself sees it; None: there is none."""
        reader = self._reader
        if reader is None:
            return None
        call = replace(
            self._call,
            operation=reader,
            params=self._params,
            headers={},
            caller=system_caller(self._call.caller.tenant),
            query=reader.query(),
        )
        try:
            return _digest(reader.handler(call).body)
        except Unavailable:
            raise
        except ChronoError:  # not there
            return None


def _reader(table: Table, operation: Operation) -> Operation | None:
    """The operation that shows the one resource that ``operation`` is about."""
    found = _PATH.fullmatch(operation.path)
    item = "/{name}" if operation.path == _BREAK else found and found[3]
    if not found or not item:
        return None
    reader = table.at("GET", f"{found[1] or ''}/{found[2]}{item}")
    lists = reader is not None and "items" in getattr(reader.answers.get(200), "__struct_fields__", ())
    return None if lists else reader


def _digest(body: Any) -> str | None:
    from chalicelib.core.audit import redact

    return redact.digest(msgspec.json.decode(msgspec.json.encode(body)))


def _verb_of_item(body: Any, item: Any) -> str:
    """What a call on many did to one of them; empty: nothing."""
    failed = getattr(item, "error", msgspec.UNSET) is not msgspec.UNSET
    if failed or getattr(item, "changed", True) is False or not isinstance(getattr(item, "id", None), str):
        return ""
    verb = str(getattr(item, "op", None) or getattr(item, "action", None) or getattr(body, "op", ""))
    return "" if verb in ("unchanged", "refused") else _ITEM_VERBS.get(verb, verb)


def _act_of_item(own: Act, verb: str, item: Any) -> Act:
    view = getattr(item, "schedule", msgspec.UNSET)
    return replace(
        own,
        action=f"{own.action.partition(':')[0]}:{verb}",
        resource=f"{own.resource}/{item.id}",
        before=None,
        after=None if view is msgspec.UNSET else _digest(view),
    )


def _noun(operation: Operation) -> str:
    found = _PATH.fullmatch(operation.path) or _NODE.match(operation.path)
    noun = found[2] if found else operation.permission.partition(":")[0]
    return _NOUNS.get(noun, noun)

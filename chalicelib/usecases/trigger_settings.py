"""What a caller can do with triggers: make, see, change and delete them.

A trigger is two records of one id: its rules, and a schedule without instants. The schedule has the target, the
retries, the versions and the fencing tokens. The rules are written first and deleted last: a trigger is there
when both are.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar, Union

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from chalicelib.core.errors import Conflict, FieldError, InvalidField, PreconditionFailed, TooMany
from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import Definition, Key, RetryPolicy, Schedule
from chalicelib.core.security.authorize import Resource, authorize, authorize_owner, missing, only_owner
from chalicelib.core.security.caller import Caller
from chalicelib.core.security.permissions import Permission
from chalicelib.core.triggers import listening, sources
from chalicelib.core.triggers.listening import Listening, ShownListening
from chalicelib.core.triggers.trigger import (
    EXPRESSION_NAMES,
    AbsenceRule,
    DedupeRule,
    ThrottleRule,
    Trigger,
    TriggerRules,
    problems,
)
from chalicelib.engine import schedule_change
from chalicelib.engine.tenants import note_tenant
from chalicelib.ports.services import Services
from chalicelib.usecases import schedules
from chalicelib.usecases.policy_gate import check_schedule
from chalicelib.usecases.target_offer import check_offered

T = TypeVar("T")
Opt = Union[T, UnsetType]  # noqa: UP007 -- a generic alias over a type variable has no other spelling in 3.11
CHANGE_ATTEMPTS: Final = 12
NAME_MAX_CHARS: Final = 120
_NAME_PREFIX: Final = "trigger:"  # the names of triggers and of schedules are apart
_NEVER: Final = "at:1970-01-01T00:00:00Z"
_SECRET_BYTES: Final = 16


class TriggerRequest(Struct, frozen=True, kw_only=True):
    """The fields of a new trigger, or those to change."""

    name: Opt[str] = UNSET
    source: Opt[Mapping[str, Any]] = UNSET
    filter: Opt[str | None] = UNSET
    dedupe: Opt[DedupeRule | None] = UNSET
    debounce_ms: Opt[int] = UNSET
    throttle: Opt[ThrottleRule | None] = UNSET
    absence: Opt[AbsenceRule | None] = UNSET
    target: Opt[Mapping[str, object]] = UNSET
    enabled: Opt[bool] = UNSET
    owner: Opt[str] = UNSET
    retry_policy: Opt[RetryPolicy] = UNSET
    timeout_ms: Opt[int] = UNSET
    tags: Opt[tuple[str, ...]] = UNSET


class ShownTrigger(NamedTuple):
    """Both records, how many events its throttle has dropped, and what workers say of its source."""

    trigger: Trigger
    schedule: Schedule
    dropped: int = 0
    heard: Listening | None = None

    @property
    def version(self) -> str:
        """What distinguishes two readings of one trigger."""
        return f"{self.trigger.rev}-{self.schedule.definition.version}"

    def listening(self, now_ms: int) -> ShownListening | None:
        """Whether a worker reads its source; None where the events are brought."""
        if not sources.is_listened(self.trigger.rules.source):
            return None
        return listening.shown(self.heard, self.trigger, self.schedule.definition.active, now_ms)


def create(s: Services, caller: Caller, wanted: TriggerRequest, trigger_id: str) -> ShownTrigger:
    """Make a trigger under a new id; the same call again finds what it made. Raises PolicyDenied, InvalidField,
    Conflict (``name_taken``)."""
    authorize(caller, "triggers:write")
    authorize_owner(caller, caller.subject if wanted.owner is UNSET else wanted.owner)
    rules = TriggerRules(source={"type": "webhook"})
    made = Trigger(
        tenant=caller.tenant,
        id=trigger_id,
        name="",
        rules=_changed(rules, wanted),
        token=_token(s, caller.tenant),
        created_ms=s.clock.now_ms(),
        since_ms=_since_ms(s),
        every_owner=wanted.owner in (UNSET, caller.subject) and _sees_all(caller),
    )
    made = _named(made, wanted)
    definition = _definition(s, caller, made, wanted)
    check_schedule(s, caller, definition, "schedules:create")
    note_tenant(s, caller.tenant)
    _route(s, made, definition.active)  # before the trigger is there: what it brings meanwhile comes again
    known = None if s.stores.triggers.save(made, 0) else s.stores.triggers.load(caller.tenant, trigger_id)
    try:
        schedule = schedules.write_new(s, caller, definition, "triggers:write")
    except Conflict as taken:
        s.stores.triggers.delete(made.tenant, made.id, made.rev)
        _unroute(s, made)
        raise _said(taken, made.name) from None
    return ShownTrigger(known or made, schedule)


def get(s: Services, caller: Caller, trigger_id: str, permission: Permission = "triggers:read") -> ShownTrigger:
    """One trigger. Raises NotFound, Forbidden."""
    found = _load(s, caller.tenant, trigger_id)
    if found is None:
        authorize(caller, permission)
        raise missing(f"trigger {trigger_id}")
    definition = found.schedule.definition
    authorize(caller, permission, Resource(definition.tenant, definition.owner, f"trigger {trigger_id}"))
    return found


def page(s: Services, caller: Caller, limit: int, after: str | None) -> tuple[list[ShownTrigger], str | None]:
    """Triggers that the caller may see, newest first. A page may be short and still go on."""
    authorize(caller, "triggers:read")
    own = only_owner(caller, "triggers:read")
    found, after = s.stores.triggers.page(caller.tenant, limit, after)
    keys = [Key(one.tenant, one.id) for one in found]
    known = s.stores.schedules.get(keys)
    heard = _heard(s, caller.tenant, found)
    shown = [
        ShownTrigger(one, known[key], _dropped(s, one), heard.get(one.id))
        for one, key in zip(found, keys, strict=True)
        if key in known and own in (None, known[key].definition.owner)
    ]
    return shown, after


def edit(
    s: Services, caller: Caller, trigger_id: str, wanted: TriggerRequest, versions: Sequence[str] | None
) -> ShownTrigger:
    """Change fields. Raises NotFound, PreconditionFailed, PolicyDenied, InvalidField, Conflict (``name_taken``)."""
    for _ in range(CHANGE_ATTEMPTS):
        found = _changeable(s, caller, trigger_id, versions)
        before = found.trigger
        after = _named(replace(before, rules=_changed(before.rules, wanted)), wanted)
        if after.rules.source != before.rules.source:
            after = replace(after, since_ms=_since_ms(s))
        owner = found.schedule.definition.owner
        if wanted.owner not in (UNSET, owner):
            after = replace(after, every_owner=wanted.owner == caller.subject and _sees_all(caller))
        elif owner == caller.subject:
            after = replace(after, every_owner=_sees_all(caller))
        _check(s, after.rules, list(_name_problems(after.name)))
        fields = {
            n: v
            for n in ("target", "retry_policy", "timeout_ms", "owner", "tags")
            if (v := getattr(wanted, n)) is not UNSET
        }
        if wanted.enabled is not UNSET:
            fields["active"] = wanted.enabled
        fields["name"] = _NAME_PREFIX + after.name
        changed = _change_schedule(s, caller, found, versions, fields)
        if after == before:
            _route(s, before, changed.definition.active)
            return found._replace(schedule=changed)
        after = replace(after, rev=before.rev + 1)
        if s.stores.triggers.save(after, before.rev):
            if after.rules.source.get("bus") != before.rules.source.get("bus") or not sources.is_routed(
                after.rules.source
            ):
                _unroute(s, before)
            _route(s, after, changed.definition.active)
            return found._replace(trigger=after, schedule=changed)
    raise TooMany("the trigger is being changed by many callers at once", code="contended")


def switch(s: Services, caller: Caller, trigger_id: str, active: bool, versions: Sequence[str] | None) -> ShownTrigger:
    """Pause or resume. While it is paused no event fires, and no wait that is over; what fired before goes on."""
    found = _changeable(s, caller, trigger_id, versions)
    of_schedule = _judged_version(found, versions)
    changed = schedule_change.change(
        s, found.schedule.definition.key, of_schedule, lambda d: replace(d, active=active), None, found.schedule
    )
    _route(s, found.trigger, active)
    return found._replace(schedule=changed)


def delete(s: Services, caller: Caller, trigger_id: str, versions: Sequence[str] | None) -> None:
    """Delete. What it fired and is not sent yet is cancelled; executions stay readable."""
    found = _changeable(s, caller, trigger_id, versions)
    schedule_change.delete(s, found.schedule.definition.key, _judged_version(found, versions), found.schedule)
    trigger = found.trigger
    _unroute(s, trigger)
    while trigger is not None and not s.stores.triggers.delete(trigger.tenant, trigger.id, trigger.rev):
        newer = s.stores.triggers.load(trigger.tenant, trigger.id)
        if newer is None:
            return
        trigger = newer


def executions(
    s: Services, caller: Caller, trigger_id: str, limit: int, after: str | None
) -> tuple[list[Execution], str | None]:
    """What a trigger fired, newest first."""
    found = get(s, caller, trigger_id)
    authorize(caller, "executions:read")
    events, after = s.stores.triggers.noted(caller.tenant, trigger_id, limit, after)
    keys = list(dict.fromkeys(ExecutionKey(*found.schedule.definition.key, 0, event=event) for event in events))
    known = s.stores.executions.get(keys)
    return [known[key] for key in keys if key in known], after


def at_inlet(s: Services, trigger_id: str, token: str) -> Trigger:
    """The trigger that an ``ingest_url`` leads to. Raises NotFound, also for a wrong token."""
    tenant = _tenant_in(token)
    found = None if tenant is None else s.stores.triggers.load(tenant, trigger_id)
    if found is None or found.rules.source.get("type") != "webhook" or not _same(found.token, token):
        raise missing("such inlet")
    return found


def _changeable(s: Services, caller: Caller, trigger_id: str, versions: Sequence[str] | None) -> ShownTrigger:
    found = get(s, caller, trigger_id, "triggers:write")
    if versions is not None and found.version not in versions:
        raise PreconditionFailed("the trigger has another version")
    return found


def _judged_version(found: ShownTrigger, versions: Sequence[str] | None) -> str | None:
    """What the schedule must still be when it is written. It is judged where the caller named the trigger's version:
    another may have changed it since it was read."""
    return None if versions is None else found.schedule.definition.version


def _load(s: Services, tenant: str, trigger_id: str) -> ShownTrigger | None:
    found = s.stores.triggers.load(tenant, trigger_id)
    key = Key(tenant, trigger_id)
    schedule = None if found is None else s.stores.schedules.get([key]).get(key)
    if found is None or schedule is None:
        return None
    return ShownTrigger(found, schedule, _dropped(s, found), _heard(s, tenant, [found]).get(trigger_id))


def _dropped(s: Services, trigger: Trigger) -> int:
    return 0 if trigger.rules.throttle is None else s.stores.triggers.throttle(trigger.tenant, trigger.id).dropped


def _heard(s: Services, tenant: str, found: Sequence[Trigger]) -> Mapping[str, Listening]:
    return s.stores.triggers.listenings(tenant, [one.id for one in found if sources.is_listened(one.rules.source)])


def _changed(rules: TriggerRules, wanted: TriggerRequest) -> TriggerRules:
    names = ("source", "filter", "dedupe", "debounce_ms", "throttle", "absence")
    return replace(rules, **{name: v for name in names if (v := getattr(wanted, name)) is not UNSET})


def _named(trigger: Trigger, wanted: TriggerRequest) -> Trigger:
    return trigger if wanted.name is UNSET else replace(trigger, name=wanted.name)


def _definition(s: Services, caller: Caller, made: Trigger, wanted: TriggerRequest) -> Definition:
    request = ScheduleRequest(
        name=_NAME_PREFIX + made.name,
        type="AT",
        expr=_NEVER,
        target=wanted.target,
        enabled=wanted.enabled,
        owner=wanted.owner,
        retry_policy=wanted.retry_policy,
        timeout_ms=wanted.timeout_ms,
        tags=wanted.tags,
    )
    errors = list(_name_problems(made.name))
    definition: Definition | None = None
    try:
        definition = schedules.draft(s, caller, request, made.id, allow_past=True)
    except InvalidField as wrong:
        if wrong.code != InvalidField.default_code:  # such as a target of a kind that this deployment runs without
            raise
        errors += [error for error in wrong.errors if error.field != "name"]
    _check(s, made.rules, errors)
    assert definition is not None
    return replace(definition, by_events=True)


def _sees_all(caller: Caller) -> bool:
    """Whether the caller may hear of every owner's things: another, who owns the trigger then, may not for that."""
    return "schedules:read" in caller.on_every_owner


def _since_ms(s: Services) -> int:
    """From when on events are a trigger's own. The clock of their source may be behind ours: none may be lost."""
    return s.clock.now_ms() - s.config.max_drift_ms


def _name_problems(name: str) -> Iterator[FieldError]:
    if not 1 <= len(name) <= NAME_MAX_CHARS or not name.isprintable():
        yield FieldError("name", f"must have 1 to {NAME_MAX_CHARS} characters, without control characters")


def _check(s: Services, rules: TriggerRules, errors: list[FieldError]) -> None:
    """Raise InvalidField with all that is wrong. Expressions are compiled only where the rest is right."""
    errors = [*errors, *problems(rules, s.config.webhook_allow, s.config.secrets)]
    errors += sources.queue_problems(rules.source, s.config.trigger_queues, s.config.origin)
    if not errors and s.workflows is not None:
        for field, text in rules.expressions.items():
            if problem := s.workflows.expressions.check(text, EXPRESSION_NAMES):
                errors.append(FieldError(field, problem))
    if errors:
        raise InvalidField(errors)
    check_heard(s, rules.source)


def check_heard(s: Services, source: Mapping[str, Any]) -> None:
    """Raises InvalidField (``not_configured``) for a source whose events would never come to this deployment."""
    problem = sources.unheard(source, s.config.listens)
    if source["type"] in s.config.unoffered:
        problem = f"{source['type']} needs a service that this deployment runs without"
    if problem:
        raise InvalidField.of("source.type", problem, code="not_configured")


def _route(s: Services, trigger: Trigger, active: bool) -> None:
    """Let a bus bring its events, where it is one that does. Raises InvalidField, Unavailable."""
    if sources.is_routed(trigger.rules.source):
        s.event_sources.route(trigger, active)


def _unroute(s: Services, trigger: Trigger) -> None:
    if sources.is_routed(trigger.rules.source):
        s.event_sources.unroute(trigger)


def _change_schedule(
    s: Services, caller: Caller, found: ShownTrigger, versions: Sequence[str] | None, fields: Mapping[str, Any]
) -> Schedule:
    def judged(definition: Definition) -> Definition:
        changed = replace(definition, **fields)
        if "target" in fields:
            check_offered(s, changed.target)
        schedules.check_edit(s, changed)
        authorize_owner(caller, changed.owner, definition.owner)
        check_schedule(s, caller, changed, "schedules:edit")
        return changed

    try:
        of_schedule = _judged_version(found, versions)
        return schedule_change.change(s, found.schedule.definition.key, of_schedule, judged, None, found.schedule)
    except Conflict as taken:
        raise _said(taken, found.trigger.name) from None


def _said(taken: Conflict, name: str) -> Conflict:
    if taken.code != "name_taken":
        return taken
    return Conflict(f"there is a trigger named {name} already", code="name_taken")


def _token(s: Services, tenant: str) -> str:
    """The secret part of an ``ingest_url``, and whose trigger it is: a sender names no tenant."""
    secret = s.ids.secret_bits().to_bytes(32, "big")[:_SECRET_BYTES]
    return base64.urlsafe_b64encode(secret + tenant.encode()).decode().rstrip("=")


def _tenant_in(token: str) -> str | None:
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[_SECRET_BYTES:].decode() or None
    except ValueError:
        return None


def _same(one: str, other: str) -> bool:
    import hmac

    return hmac.compare_digest(one.encode(), other.encode())

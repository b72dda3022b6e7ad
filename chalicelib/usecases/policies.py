"""Policies: kept by administrators, and what they say of a subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.errors import Conflict, InvalidField, PreconditionFailed, TooMany
from chalicelib.core.executions.limits import RECHECK_AHEAD_MAX_MS
from chalicelib.core.limits import PAGE_MAX_ITEMS
from chalicelib.core.rules import policy, ruling, stored_policy, subject
from chalicelib.core.rules.limits import POLICIES_MAX_COUNT
from chalicelib.core.rules.policy import CompiledPolicy, RuleException, WrittenPolicy
from chalicelib.core.rules.ruling import PolicyVerdict, Ruling
from chalicelib.core.rules.subject import Subject
from chalicelib.core.schedules.schedule import Definition, RetryPolicy
from chalicelib.core.security.authorize import authorize, missing
from chalicelib.core.security.caller import Caller
from chalicelib.engine import known_policies, rulings
from chalicelib.ports.services import Services
from chalicelib.ports.stores.policies import KeptPolicy
from chalicelib.usecases import policy_gate, rego_rules, schedules

CHANGE_ATTEMPTS = 16
VERSIONS_SHOWN = 50
CREATE = "schedules:create"


class NamedPolicy(NamedTuple):
    """A policy, the version that names its present form, and what its author should know of it."""

    policy: WrittenPolicy
    version: str
    notes: list[str]


class Evaluation(Struct, frozen=True):
    """What all policies say of a subject: the verdict, and how each came to its own."""

    ruling: Ruling
    tree: list[PolicyVerdict]


def page(s: Services, caller: Caller, limit: int, after: str | None) -> tuple[list[NamedPolicy], str | None]:
    """The tenant's policies by name, and the name to go on after (None: the end)."""
    authorize(caller, "policies:read")
    found, after = s.stores.policies.page(caller.tenant, limit, after)
    return [_named(kept) for kept in found], after


def get(s: Services, caller: Caller, name: str) -> NamedPolicy:
    """One policy. Raises NotFound."""
    authorize(caller, "policies:read")
    return _named(_load(s, caller.tenant, name))


def versions(s: Services, caller: Caller, name: str) -> list[NamedPolicy]:
    """The newest forms of a policy, newest first, also of one that is deleted. Raises NotFound."""
    authorize(caller, "policies:read")
    found = s.stores.policies.versions(caller.tenant, name, VERSIONS_SHOWN)
    if not found:
        raise missing(f"policy {name}")
    return [_named(kept) for kept in found]


def create(s: Services, caller: Caller, wanted: WrittenPolicy, again: bool = False) -> NamedPolicy:
    """Make a policy. ``again``: the same call ran before and its answer was lost, so that what it made is found.

    Raises InvalidField, NotSupported (``not_offered``), Conflict (``name_taken``).
    """
    authorize(caller, "policies:write")
    made = _checked(s, caller, wanted, None)
    known = s.stores.policies.load(caller.tenant, made.name)
    if known is not None:
        if again and known.document == policy.write(made):
            return _named(known)
        raise _taken(made.name)
    _check_count(s, caller.tenant)
    stored = KeptPolicy(made.name, policy.write(made), s.clock.now_ms())
    if not s.stores.policies.save(caller.tenant, stored, 0):
        raise _taken(made.name)
    _take_effect(s, caller.tenant)
    return _named(stored)


def put(
    s: Services, caller: Caller, name: str, wanted: WrittenPolicy, versions: Sequence[str] | None = None
) -> tuple[NamedPolicy, bool]:
    """Make or replace a policy; whether it is new. Raises as ``create``, and PreconditionFailed."""
    authorize(caller, "policies:write")
    for _ in range(CHANGE_ATTEMPTS):
        known = s.stores.policies.load(caller.tenant, name)
        check_version(known, versions)
        was = None if known is None else stored_policy.read(name, known.document).compiled.policy
        made = _checked(s, caller, wanted, was)
        if known is None:
            _check_count(s, caller.tenant)
        before = 0 if known is None else known.rev
        stored = KeptPolicy(name, policy.write(made), max(s.clock.now_ms(), before + 1))
        if s.stores.policies.save(caller.tenant, stored, before):
            _take_effect(s, caller.tenant)
            return _named(stored), known is None
    raise TooMany("the policy is being changed by many callers at once", code="contended")


def delete(s: Services, caller: Caller, name: str, versions: Sequence[str] | None = None) -> None:
    """Delete a policy; its versions stay on show. Raises NotFound, PreconditionFailed."""
    authorize(caller, "policies:write")
    for _ in range(CHANGE_ATTEMPTS):
        known = _load(s, caller.tenant, name)
        check_version(known, versions)
        if s.stores.policies.delete(caller.tenant, name, known.rev):
            _take_effect(s, caller.tenant)
            return
    raise TooMany("the policy is being changed by many callers at once", code="contended")


def evaluate(s: Services, caller: Caller, given: Mapping[str, Any], action: str) -> Evaluation:
    """What the policies say of a subject that need not exist; writes nothing. Raises InvalidField."""
    authorize(caller, "policies:write")
    if action.partition(":")[0] == "leases":
        asked = {name: given.get(name) for name in ("name", "holder_id", "ttl_ms", "wait_ms")}
        asked["owner"] = given.get("owner", caller.subject)
        about = subject.of_lease(action, tenant=caller.tenant, **asked)
    elif action.partition(":")[0] == "workflows":
        known = {name.partition(".")[2] for name in subject.WORKFLOW_FIELDS} - {"action", "tenant"}
        asked = {name: given.get(name) for name in known} | {"caller": given.get("caller", caller.subject)}
        about = subject.of_workflow(action, tenant=caller.tenant, **asked)
    else:
        about = subject.of_given(given, action, _defaults(s, caller))
    if action == rulings.FIRING:  # which no engine beside the service is asked about
        return _evaluation(s, caller.tenant, about)
    policies, now_ms = known_policies.current(s, caller.tenant), s.clock.now_ms()
    said = policy_gate.judge_at_admission(s, caller, policies, about, action)
    tree = [rego_rules.with_findings(ruling.explain(p, about, now_ms), said.ruling) for p in policies]
    return Evaluation(said.ruling, tree if said.outside is None else [*tree, said.outside])


def of_schedule(s: Services, caller: Caller, schedule_id: str) -> Evaluation:
    """What the policies say of a schedule's next firing. Raises NotFound."""
    authorize(caller, "policies:read")
    found = schedules.get(s, caller, schedule_id)
    return _evaluation(s, caller.tenant, subject.of_definition(found.definition, rulings.FIRING))


def _evaluation(s: Services, tenant: str, about: Subject) -> Evaluation:
    policies, now_ms = known_policies.current(s, tenant), s.clock.now_ms()
    return Evaluation(ruling.judge(policies, about, now_ms), [ruling.explain(p, about, now_ms) for p in policies])


def _defaults(s: Services, caller: Caller) -> Definition:
    now_ms = s.clock.now_ms()
    return Definition(
        tenant=caller.tenant,
        id="",
        version="",
        since_ms=now_ms,
        type="AT",
        expr="",
        owner=caller.subject,
        timezone=s.config.default_timezone,
        timeout_ms=s.config.attempt_timeout_ms,
        sla_ms=s.config.default_sla_ms,
        retry_policy=RetryPolicy(max_attempts=s.config.max_attempts),
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )


def compiled(s: Services, caller: Caller, name: str, proposed: WrittenPolicy | None = None) -> CompiledPolicy:
    """A policy ready to be asked: as it is kept, or as it is ``proposed`` to be. Raises NotFound, InvalidField."""
    if proposed is not None:
        made = policy.compile_policy(replace(proposed, name=name))
        rego_rules.check(s, made)
        return made
    return stored_policy.read(name, _load(s, caller.tenant, name).document).compiled


def _checked(s: Services, caller: Caller, wanted: WrittenPolicy, before: WrittenPolicy | None) -> WrittenPolicy:
    """The policy to keep: sound, and each exception with who approved it. One that was there before keeps its own."""
    approved = [(replace(e, approved_by=""), e) for e in (() if before is None else before.exceptions)]

    def signed(exception: RuleException) -> RuleException:
        plain = replace(exception, approved_by="")
        return next((e for said, e in approved if said == plain), replace(plain, approved_by=caller.subject))

    made = replace(wanted, exceptions=tuple(signed(e) for e in wanted.exceptions))
    rego_rules.check(s, policy.compile_policy(made))
    return made


def _check_count(s: Services, tenant: str) -> None:
    count, after = 0, None
    while True:
        found, after = s.stores.policies.page(tenant, PAGE_MAX_ITEMS, after)
        count += len(found)
        if count >= POLICIES_MAX_COUNT:
            raise InvalidField.of("name", f"a tenant may have at most {POLICIES_MAX_COUNT} policies")
        if after is None:
            return


def _take_effect(s: Services, tenant: str) -> None:
    """Return when a change that is written can be acknowledged: every firing that was read for without it has begun."""
    s.process.policies.forget(tenant)
    s.clock.sleep_until(s.clock.now_ms() + RECHECK_AHEAD_MAX_MS + 1)


def _load(s: Services, tenant: str, name: str) -> KeptPolicy:
    found = s.stores.policies.load(tenant, name)
    if found is None:
        raise missing(f"policy {name}")
    return found


def _named(kept: KeptPolicy) -> NamedPolicy:
    compiled, problem = stored_policy.read(kept.name, kept.document)
    notes = [f"{stored_policy.MESSAGE} ({problem})"] if problem else policy.notes(compiled)
    return NamedPolicy(compiled.policy, str(kept.rev), notes)


def check_version(known: KeptPolicy | None, versions: Sequence[str] | None) -> None:
    """Refuse a version other than those that a caller names. Raises PreconditionFailed."""
    if versions is not None and (known is None or str(known.rev) not in versions):
        raise PreconditionFailed("the policy has another version")


def _taken(name: str) -> Conflict:
    return Conflict(f"there is a policy {name} already: PUT replaces it", code="name_taken")

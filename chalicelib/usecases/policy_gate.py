"""The point that a caller's wish passes beside ``authorize``: whether policies permit what the caller's roles do.

Changes of policies themselves, of keys and of roles never pass here, and neither does a pause or a delete. So no policy
can lock administrators out, or keep a caller from stopping what runs. What the service does itself is not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from chalicelib.core.errors import PolicyDenied
from chalicelib.core.schedules.schedule import Definition
from chalicelib.core.security.caller import SERVICE_SUBJECT, Caller
from chalicelib.engine.decisions import record
from chalicelib.engine.known_policies import current, recent
from chalicelib.ports.services import Services

if TYPE_CHECKING:
    from chalicelib.core.rules.policy import CompiledPolicy
    from chalicelib.core.rules.ruling import PolicyVerdict, Ruling
    from chalicelib.core.rules.subject import Subject

ScheduleAction = Literal["schedules:create", "schedules:edit", "schedules:trigger", "executions:retry"]
WorkflowAction = Literal["workflows:publish", "workflows:start", "workflows:approve"]
LeaseAction = Literal["leases:acquire", "leases:break"]
_SYSTEM = "system"


def check_schedule(s: Services, caller: Caller, definition: Definition, action: ScheduleAction) -> None:
    """Refuse what policies deny of a schedule, and a workflow as its target that the caller may not start.

    Raises PolicyDenied, Unavailable, Forbidden, InvalidField.
    """
    if definition.target.get("type") == "workflow" and not _is_service(caller):
        from chalicelib.usecases import run_starts  # loaded with the first workflow as a target

        run_starts.check(s, caller, definition)
    policies = () if _is_service(caller) else current(s, caller.tenant)
    if not _must_ask(s, caller, policies):
        return
    from chalicelib.core.rules import subject  # loaded with the first policy

    about = subject.of_definition(definition, action)
    _check(s, caller, policies, about, action, f"schedules/{definition.id}")


def check_lease(s: Services, caller: Caller, action: LeaseAction, name: str, **asked: Any) -> None:
    """Refuse what policies of at most a second ago deny of a lease. Raises PolicyDenied, Unavailable."""
    policies = () if _is_service(caller) else recent(s, caller.tenant)
    if not _must_ask(s, caller, policies):
        return
    from chalicelib.core.rules import subject

    about = subject.of_lease(action, name=name, owner=caller.subject, tenant=caller.tenant, **asked)
    _check(s, caller, policies, about, action, f"leases/{name}")


def check_workflow(s: Services, caller: Caller, action: WorkflowAction, name: str, **asked: Any) -> None:
    """Refuse what policies deny of a workflow, the start of a run, or a decision. Raises PolicyDenied, Unavailable."""
    policies = () if _is_service(caller) else current(s, caller.tenant)
    if not _must_ask(s, caller, policies):
        return
    from chalicelib.core.rules import subject

    about = subject.of_workflow(action, name=name, tenant=caller.tenant, caller=caller.subject, **asked)
    _check(s, caller, policies, about, action, f"workflows/{name}")


def _must_ask(s: Services, caller: Caller, policies: Sequence[CompiledPolicy]) -> bool:
    return bool(policies) or (s.external_policies.is_on and not _is_service(caller))


def _is_service(caller: Caller) -> bool:
    """Whether the service itself asks. A job in bulk is the service's work, and the wish of who began it."""
    return caller.credential == _SYSTEM and caller.subject == SERVICE_SUBJECT


def _check(
    s: Services, caller: Caller, policies: Sequence[CompiledPolicy], about: Subject, action: str, resource: str
) -> None:
    from chalicelib.core.rules.judged import Judged

    said = judge_at_admission(s, caller, policies, about, action)
    record(s, Judged(caller.tenant, caller.subject, action, resource, said.ruling, said.decision_id))
    denials = said.ruling.denials
    if denials:
        raise PolicyDenied(denials)


class WishVerdict(NamedTuple):
    """What policies and the engine beside the service say of a wish. ``outside`` is the engine's part of a tree; None:
    there is none."""

    ruling: Ruling
    outside: PolicyVerdict | None
    decision_id: str


def judge_at_admission(
    s: Services, caller: Caller, policies: Sequence[CompiledPolicy], about: Subject, action: str
) -> WishVerdict:
    """Judge a wish by everything that has a say at admission. Writes nothing, raises nothing."""
    from chalicelib.core.rules import outside_verdict
    from chalicelib.core.rules.ruling import judge

    now_ms = s.clock.now_ms()
    ruling = judge(policies, about, now_ms)
    if any(policy.rego_rules for policy in policies):
        from chalicelib.usecases import rego_rules

        found = rego_rules.findings(s, policies, about, question(caller, action, about), now_ms)
        ruling = ruling._replace(findings=(*ruling.findings, *found))
    if not s.external_policies.is_on:
        return WishVerdict(ruling, None, "")
    said = s.external_policies.decide(question(caller, action, about))
    outside = outside_verdict.findings(said.allowed, said.reasons, said.decision_id)
    whole = ruling._replace(findings=(*ruling.findings, *outside))
    return WishVerdict(whole, outside_verdict.explained(outside), said.decision_id)


def question(caller: Caller, action: str, about: Subject) -> Mapping[str, Any]:
    """What engines are asked; nested, as their rules expect it. Payloads stay here."""
    nested: dict[str, Any] = {}
    for name, value in {**about.fields, **about.shown}.items():
        if isinstance(value, Mapping) or name.startswith("webhook."):
            continue
        *outer, last = name.split(".")
        place = nested
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    who = {"subject": caller.subject, "roles": sorted(caller.roles)}
    return {"tenant": caller.tenant, "action": action, "caller": who, "subject": nested}

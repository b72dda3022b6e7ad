"""The point that a caller's wish passes beside ``authorize``: whether policies permit what the caller's roles do.

Changes of policies themselves, of keys and of roles never pass here, and neither does a pause or a delete. So no policy
can lock administrators out, or keep a caller from stopping what runs. What the service does itself is not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from chalicelib.core.errors import PolicyDenied, Violation
from chalicelib.core.schedules.schedule import Definition
from chalicelib.core.security.caller import Caller
from chalicelib.engine.decisions import Judged, record
from chalicelib.engine.known_policies import current, recent
from chalicelib.ports.services import Services

if TYPE_CHECKING:
    from chalicelib.core.rules.policy import CompiledPolicy
    from chalicelib.core.rules.subject import Subject

EXTERNAL = "opa"  # the name under which denials of the engine beside the service are shown
ScheduleAction = Literal["schedules:create", "schedules:edit", "schedules:trigger", "executions:retry"]
LeaseAction = Literal["leases:acquire", "leases:break"]
_SYSTEM = "system"


def check_schedule(s: Services, caller: Caller, definition: Definition, action: ScheduleAction) -> None:
    """Refuse what policies deny of a schedule. Raises PolicyDenied, Unavailable."""
    policies = () if caller.credential == _SYSTEM else current(s, caller.tenant)
    if not _must_ask(s, caller, policies):
        return
    from chalicelib.core.rules import subject  # loaded with the first policy

    about = subject.of_definition(definition, action)
    _check(s, caller, policies, about, action, f"schedules/{definition.id}")


def check_lease(s: Services, caller: Caller, action: LeaseAction, name: str, **asked: Any) -> None:
    """Refuse what policies of at most a second ago deny of a lease. Raises PolicyDenied, Unavailable."""
    policies = () if caller.credential == _SYSTEM else recent(s, caller.tenant)
    if not _must_ask(s, caller, policies):
        return
    from chalicelib.core.rules import subject

    about = subject.of_lease(action, name=name, owner=caller.subject, tenant=caller.tenant, **asked)
    _check(s, caller, policies, about, action, f"leases/{name}")


def _must_ask(s: Services, caller: Caller, policies: Sequence[CompiledPolicy]) -> bool:
    return bool(policies) or (s.external_policies.is_on and caller.credential != _SYSTEM)


def _check(
    s: Services, caller: Caller, policies: Sequence[CompiledPolicy], about: Subject, action: str, resource: str
) -> None:
    from chalicelib.core.rules.ruling import judge

    ruling = judge(policies, about, s.clock.now_ms())
    outside = s.external_policies.decide(_question(caller, action, about))
    record(Judged(caller.tenant, caller.subject, action, resource, ruling, outside.decision_id))
    denials = list(ruling.denials)
    if not outside.allowed:
        reasons = outside.reasons or ("the decision is to deny",)
        denials += [Violation(EXTERNAL, EXTERNAL, "", None, reason, outside.decision_id) for reason in reasons]
    if denials:
        raise PolicyDenied(denials)


def _question(caller: Caller, action: str, about: Subject) -> Mapping[str, Any]:
    """What the engine beside the service is asked; nested, as its rules expect it. Payloads stay here."""
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

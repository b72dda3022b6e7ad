"""What a tenant's policies say of firings. Those that they do not let pass are ended here."""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.core.errors import denial_text
from chalicelib.core.executions import journal
from chalicelib.core.rules import subject
from chalicelib.core.rules.judged import Judged, denied_by
from chalicelib.core.rules.ruling import ALLOWED, Ruling, judge
from chalicelib.core.schedules.schedule import Definition, Key
from chalicelib.engine import decisions
from chalicelib.engine.follow_ups import follow
from chalicelib.engine.known_policies import at_epoch
from chalicelib.engine.outcomes import Ended, write_outcomes
from chalicelib.engine.prepare import Ready
from chalicelib.ports.services import Services
from chalicelib.ports.stores.policies import epoch_key
from chalicelib.process.policy_memory import KnownPolicies

FIRING = "firing"


def permitted(s: Services, epochs: Mapping[Key, int], standing: list[Ready]) -> list[Ready]:
    """Those firings that their tenants' policies let pass; the others are ended as failed, ``rejected``. ``epochs``
    are those of the policies. Raises Unavailable."""
    denied = [(ready, ruling) for ready in standing if (ruling := _of_firing(s, epochs, ready)).denials]
    if not denied:
        return standing
    ended = [_rejected(s, ready, ruling) for ready, ruling in denied]
    for one, won in zip(ended, write_outcomes(s, ended), strict=True):
        if won:
            follow(s, one.execution, one.definition)
    away = {ready.claimed.execution.key for ready, _ in denied}
    return [ready for ready in standing if ready.claimed.execution.key not in away]


def _of_firing(s: Services, epochs: Mapping[Key, int], ready: Ready) -> Ruling:
    definition = ready.claimed.definition
    epoch = epochs.get(epoch_key(definition.tenant), 0)
    return of_definition(s, at_epoch(s, definition.tenant, epoch), definition) if epoch else ALLOWED


def of_definition(s: Services, known: KnownPolicies, definition: Definition) -> Ruling:
    """What policies say of a firing of a definition; it is worked out once."""
    now_ms = s.clock.now_ms()
    ruling = known.find_ruling(definition.version, now_ms)
    if ruling is None:
        ruling = judge(known.policies, subject.of_definition(definition, FIRING), now_ms)
        known.keep_ruling(definition.version, ruling)
        resource = f"schedules/{definition.id}"
        decisions.record(s, Judged(definition.tenant, "", FIRING, resource, ruling))
    return ruling


def _rejected(s: Services, ready: Ready, ruling: Ruling) -> Ended:
    claimed = ready.claimed
    error = "; ".join(denial_text(violation) for violation in ruling.denials)
    at_ms = max(s.clock.now_ms(), claimed.execution.due_ms)  # it is judged a little ahead of its instant
    rejected = journal.reject(claimed.execution, error, denied_by(ruling), at_ms)
    return Ended(rejected, claimed.execution.rev, claimed.definition)

"""What happened, on record: ``record`` enters it at once; ``begin`` and ``finish`` stand around a change.

An allowed change is never without its entry. ``begin`` puts an intent on record before the change. ``finish`` enters
what became of it in the chain, and then drops the intent. Of a process that died in between, ``engine.audit_keeping``
finds the intent and enters it with the outcome ``unknown``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.audit import intent
from chalicelib.core.audit.entry import ALLOW, DONE, UNKNOWN, Draft
from chalicelib.core.audit.intent import Intent
from chalicelib.core.errors import ChronoError
from chalicelib.core.security.caller import Caller
from chalicelib.engine import audit_chain
from chalicelib.ports.services import Services

log = logging.getLogger(__name__)


class Act(Struct, frozen=True, kw_only=True):
    """Something that a caller did or was refused. ``action`` and ``permission`` are as in ``schedules:create`` and
    ``schedules:write``, ``resource`` as in ``schedules/{id}``. ``before`` and ``after`` are digests, never contents.
    ``detail`` is shown to administrators: it must hold no secret and no payload."""

    action: str
    permission: str
    resource: str
    decision: str = ALLOW
    outcome: str = DONE
    before: str | None = None
    after: str | None = None
    detail: str = ""
    trace_id: str = ""


def is_on(s: Services) -> bool:
    """Whether anything is recorded (CHRONO_AUDIT)."""
    return s.config.audit != "off"


def record(s: Services, caller: Caller, *acts: Act) -> None:
    """Enter what a caller did, or was refused. Nothing with CHRONO_AUDIT=off. Raises Unavailable, OutcomeUnknown."""
    if is_on(s) and acts:
        audit_chain.append(s, caller.tenant, [_draft(s, caller, act) for act in acts])


def begin(s: Services, caller: Caller, act: Act) -> Intent:
    """Put on record what is about to be done. Raises Unavailable, OutcomeUnknown: then it must not be done."""
    made = Intent(caller.tenant, _draft(s, caller, act))
    s.stores.audit.note_intent(made.draft.id, intent.write(made))
    return made


def finish(s: Services, made: Intent, acts: Sequence[Act]) -> None:
    """Enter what became of an intent: ``acts``, of which the first is the intent's own. Does not raise ChronoError.

    The change stands by now. When the chain cannot be written the intent stays, and recovery enters it.
    """
    own = [
        replace(
            made.draft,
            id=made.draft.id if place == 0 else f"{made.draft.id}.{place}",
            action=act.action,
            resource=act.resource,
            decision=act.decision,
            outcome=act.outcome,
            before=act.before,
            after=act.after,
            detail=act.detail,
        )
        for place, act in enumerate(acts)
    ]
    try:
        audit_chain.append(s, made.tenant, own)
    except ChronoError as problem:
        log.warning("audit entry %s is left to recovery: %s", made.draft.id, problem)
        return
    drop(s, made)


def leave_unknown(s: Services, made: Intent, act: Act) -> None:
    """Enter that a change may have happened."""
    finish(s, made, [replace(act, outcome=UNKNOWN)])


def drop(s: Services, made: Intent) -> None:
    """Forget an intent: its entry is written, or nothing was changed. Does not raise ChronoError."""
    try:
        s.stores.audit.drop_intent(made.draft.id)
    except ChronoError as problem:
        log.warning("audit intent %s is left to recovery: %s", made.draft.id, problem)


def _draft(s: Services, caller: Caller, act: Act) -> Draft:
    now_ms = s.clock.now_ms()
    return Draft(
        id=s.ids.ulid(now_ms),
        at_ms=now_ms,
        actor=caller.subject,
        action=act.action,
        permission=act.permission,
        resource=act.resource,
        decision=act.decision,
        outcome=act.outcome,
        source_ip=caller.source_ip,
        before=act.before,
        after=act.after,
        detail=act.detail,
        trace_id=act.trace_id,
    )

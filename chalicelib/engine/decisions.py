"""The one place that every decision of policies passes: what is recorded of one is recorded here.

Values stay out, since they are a caller's: policy, rule and what was judged are enough to find the rest by.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from chalicelib.core.rules.ruling import Ruling

log = logging.getLogger("chronowatch.policies")


class Judged(Struct, frozen=True):
    """What was judged: ``action`` as in ``schedules:create``, ``resource`` as in ``schedules/{id}``. ``subject`` is who
    asked for it; empty for a firing. ``decision_id`` is that of an engine beside the service."""

    tenant: str
    subject: str
    action: str
    resource: str
    ruling: Ruling
    decision_id: str = ""


def record(judged: Judged) -> None:
    """Note a decision. One without findings leaves no line: that is nearly all of them."""
    about = {"tenant": judged.tenant, "action": judged.action, "resource": judged.resource}
    for finding in judged.ruling.findings:
        v = finding.violation
        effect = "excepted" if finding.excepted_until_ms is not None else finding.action
        if finding.mode == "audit":
            effect = "audit"
        log.warning("policy %s, rule %s: %s", v.policy, v.rule, effect, extra={**about, "decision_id": v.decision_id})
    if judged.decision_id and not judged.ruling.findings:
        log.info("allowed by the engine beside us", extra={**about, "decision_id": judged.decision_id})

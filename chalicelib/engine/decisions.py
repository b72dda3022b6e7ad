"""The one place that every decision of policies passes: what is recorded of one is recorded here.

Values stay out of the log, since they are a caller's: policy, rule and what was judged are enough to find the rest by.
What is entered in the audit is entered by who runs the call: ``api.http.auditing``, and ``workers.feed`` for firings.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chalicelib.core.rules.judged import Judged
    from chalicelib.ports.services import Services

log = logging.getLogger("chronowatch.policies")


def record(s: Services, judged: Judged) -> None:
    """Note a decision. One without findings leaves no line: that is nearly all of them."""
    from chalicelib.core.rules.judged import effect_of

    about = {"tenant": judged.tenant, "action": judged.action, "resource": judged.resource}
    for finding in judged.ruling.findings:
        v = finding.violation
        log.warning(
            "policy %s, rule %s: %s",
            v.policy,
            v.rule,
            effect_of(finding),
            extra={**about, "decision_id": v.decision_id},
        )
    if judged.decision_id and not judged.ruling.findings:
        log.info("allowed by the engine beside us", extra={**about, "decision_id": judged.decision_id})
    if judged.ruling.findings or judged.decision_id:
        s.decisions.enter(judged)

"""The decision of a policy engine beside the service, in the words of our own: a policy with one rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chalicelib.core.errors import Violation
from chalicelib.core.rules.condition import Explained
from chalicelib.core.rules.ruling import Finding, PolicyVerdict, RuleVerdict

EXTERNAL: Final = "opa"  # the policy and the rule that its denials are shown as
_NO_REASON: Final = "the decision is to deny"


def findings(allowed: bool, reasons: Sequence[str], decision_id: str) -> tuple[Finding, ...]:
    """One for each reason to deny; none where it allows."""
    if allowed:
        return ()
    found = (Violation(EXTERNAL, EXTERNAL, "", None, reason, decision_id) for reason in reasons or (_NO_REASON,))
    return tuple(Finding(violation, "deny", "enforce", None) for violation in found)


def explained(found: Sequence[Finding]) -> PolicyVerdict:
    """Its part of the tree."""
    text = "; ".join(finding.violation.message for finding in found)
    outcome = RuleVerdict(EXTERNAL, "deny", "violated" if found else "holds", text, Explained(not found), None)
    return PolicyVerdict(EXTERNAL, "enforce", True, [outcome])

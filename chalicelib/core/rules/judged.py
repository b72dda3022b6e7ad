"""One decision of policies, and how it is put on record: by policy, rule and decision. Values stay out, since they are
a caller's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from chalicelib.core.rules.limits import NOTED_FINDINGS_MAX
from chalicelib.core.rules.ruling import Finding, Ruling

Effect = Literal["deny", "warn", "audit", "excepted"]
NOTE_MAX_CHARS: Final = 240


class Judged(Struct, frozen=True):
    """What was judged: ``action`` as in ``schedules:create``, ``resource`` as in ``schedules/{id}``. ``subject`` is who
    asked for it; empty for a firing. ``decision_id`` is that of an engine beside the service."""

    tenant: str
    subject: str
    action: str
    resource: str
    ruling: Ruling
    decision_id: str = ""

    @property
    def denies(self) -> bool:
        """Whether it was refused."""
        return self.ruling.decision == "deny"

    @property
    def warnings(self) -> list[Finding]:
        """What the caller is warned of. A policy or rule that only audits watches unseen."""
        return [finding for finding in self.ruling.findings if effect_of(finding) == "warn"]


def effect_of(finding: Finding) -> Effect:
    """What came of a rule that does not hold."""
    if finding.excepted_until_ms is not None:
        return "excepted"
    return "audit" if finding.mode == "audit" else finding.action


def denied_by(ruling: Ruling) -> str:
    """The policies and rules that deny, in one text of at most NOTE_MAX_CHARS and a count of the rest."""
    first, *rest = ruling.denials
    text = f"deny: policy {first.policy}, rule {first.rule}"
    for place, one in enumerate(rest):
        more = f"; deny: policy {one.policy}, rule {one.rule}"
        if len(text) + len(more) > NOTE_MAX_CHARS:
            return f"{text}; and {len(rest) - place} more"
        text += more
    return text


def notes(judged: Judged) -> list[str]:
    """The findings in short texts for the audit, each of at most NOTE_MAX_CHARS; none where nothing was found."""
    found: list[str] = []
    for part in _parts(judged):
        if found and len(found[-1]) + len(part) + 2 <= NOTE_MAX_CHARS:
            found[-1] += f"; {part}"
        else:
            found.append(part)
    return found


def _parts(judged: Judged) -> Iterator[str]:
    findings = judged.ruling.findings
    for finding in findings[:NOTED_FINDINGS_MAX]:
        yield f"{effect_of(finding)}: policy {finding.violation.policy}, rule {finding.violation.rule}"
    if len(findings) > NOTED_FINDINGS_MAX:
        yield f"and {len(findings) - NOTED_FINDINGS_MAX} more"
    if judged.decision_id:
        yield f"decision {judged.decision_id}"

"""Rules in Rego: checked when they are published, and asked of wishes and in dry runs. No firing waits for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from chalicelib.core.errors import Violation
from chalicelib.core.rules.limits import REGO_BUDGET_MS
from chalicelib.core.rules.policy import CompiledPolicy
from chalicelib.core.rules.ruling import Finding, PolicyVerdict, Ruling, excepted_until
from chalicelib.core.rules.subject import Subject
from chalicelib.ports.services import Services

UNANSWERED = "{message} (its module gave no answer, which denies)"


def check(s: Services, made: CompiledPolicy) -> None:
    """Refuse modules that must not be published. Raises InvalidField, NotSupported."""
    for number, rule in enumerate(made.rules):
        if rule.rego:
            s.rego.check(rule.rego, f"rules.{number}.condition.rego")


def findings(
    s: Services, policies: Sequence[CompiledPolicy], about: Subject, question: Mapping[str, Any], now_ms: int
) -> tuple[Finding, ...]:
    """The rules in Rego that a schedule does not keep. Together they have REGO_BUDGET_MS."""
    return () if about.kind != "schedule" else tuple(_findings(s, policies, about, question, now_ms))


def _findings(
    s: Services, policies: Sequence[CompiledPolicy], about: Subject, question: Mapping[str, Any], now_ms: int
) -> Iterator[Finding]:
    began_ms = s.clock.read().steady_ms
    for policy in policies:
        if not policy.rego_rules or (policy.fits is not None and not policy.fits(about)):
            continue
        for rule in policy.rego_rules:
            in_time = s.clock.read().steady_ms - began_ms < REGO_BUDGET_MS
            answer = s.rego.ask(rule.rego, question) if in_time else None
            if answer is not None and answer.holds:
                continue
            message = rule.rule.message
            if answer is None or answer.problem:
                message = UNANSWERED.format(message=message)
            violation = Violation(policy.policy.name, rule.rule.name, "", None, message)
            until_ms = excepted_until(policy, rule, about, now_ms)
            yield Finding(violation, rule.rule.action, policy.policy.mode, until_ms)


def with_findings(verdict: PolicyVerdict, ruling: Ruling) -> PolicyVerdict:
    """A policy's part of a tree, with what its rules in Rego were found to say."""
    found = {f.violation.rule: f for f in ruling.findings if f.violation.policy == verdict.policy}
    return replace(verdict, rules=[_said(rule, found.get(rule.rule)) for rule in verdict.rules])


def _said(rule: Any, found: Finding | None) -> Any:
    if rule.condition.operator != "rego":
        return rule
    outcome = "holds" if found is None else "violated" if found.excepted_until_ms is None else "excepted"
    until_ms = None if found is None else found.excepted_until_ms
    condition = replace(rule.condition, holds=found is None)
    return replace(rule, outcome=outcome, condition=condition, excepted_until_unix_ms=until_ms)

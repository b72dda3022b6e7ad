"""Judging a subject by policies: every rule is asked, and all that do not hold are found together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from chalicelib.core.errors import Violation
from chalicelib.core.limits import INSTANT_MAX_MS
from chalicelib.core.rules import condition
from chalicelib.core.rules.condition import Explained
from chalicelib.core.rules.policy import Action, CompiledPolicy, CompiledRule, Mode
from chalicelib.core.rules.subject import Subject

Decision = Literal["allow", "deny"]
Outcome = Literal["holds", "violated", "not_applicable", "excepted"]


class Finding(NamedTuple):
    """A rule that does not hold. ``excepted_until_ms``: an exception keeps it from acting until then."""

    violation: Violation
    action: Action
    mode: Mode
    excepted_until_ms: int | None

    @property
    def denies(self) -> bool:
        return self.action == "deny" and self.mode == "enforce" and self.excepted_until_ms is None


class Ruling(NamedTuple):
    """What policies say of a subject. It may be remembered until ``until_ms``, when an exception of it ends."""

    findings: tuple[Finding, ...]
    until_ms: int

    @property
    def decision(self) -> Decision:
        return "deny" if any(finding.denies for finding in self.findings) else "allow"

    @property
    def denials(self) -> tuple[Violation, ...]:
        """The violations that deny it."""
        return tuple(finding.violation for finding in self.findings if finding.denies)


ALLOWED = Ruling((), INSTANT_MAX_MS)


def judge(policies: Sequence[CompiledPolicy], about: Subject, now_ms: int) -> Ruling:
    """What policies say of a subject at ``now_ms``."""
    found: list[Finding] = []
    for policy in policies:
        rules = policy.rules_for(about.kind)
        if not rules or (policy.fits is not None and not policy.fits(about)):
            continue
        for rule in rules:
            answer = rule.ask(about)
            if not answer and (answer is False or rule.rule.required):
                found.append(_finding(policy, rule, about, now_ms))
    if not found:
        return ALLOWED
    ends = (finding.excepted_until_ms for finding in found if finding.excepted_until_ms is not None)
    return Ruling(tuple(found), min(ends, default=INSTANT_MAX_MS))


def _finding(policy: CompiledPolicy, rule: CompiledRule, about: Subject, now_ms: int) -> Finding:
    leaf = condition.culprit(rule.condition, about)
    violation = Violation(policy.policy.name, rule.rule.name, leaf.field, about.value(leaf.field), rule.rule.message)
    return Finding(violation, rule.rule.action, policy.policy.mode, excepted_until(policy, rule, about, now_ms))


def excepted_until(policy: CompiledPolicy, rule: CompiledRule, about: Subject, now_ms: int) -> int | None:
    """Until when an exception keeps a rule from acting; None: none does."""
    ends = [
        e.exception.until_unix_ms
        for e in policy.exceptions
        if now_ms < e.exception.until_unix_ms and e.exception.rule in (None, rule.rule.name) and e.fits(about)
    ]
    return max(ends, default=None)


class RuleVerdict(Struct):
    """What one rule says of a subject, with the whole of its condition."""

    rule: str
    action: Action
    outcome: Outcome
    message: str
    condition: Explained
    excepted_until_unix_ms: int | None


class PolicyVerdict(Struct):
    """What one policy says of a subject; ``matched``: whether it is about it at all."""

    policy: str
    mode: Mode
    matched: bool
    rules: list[RuleVerdict]


def explain(policy: CompiledPolicy, about: Subject, now_ms: int) -> PolicyVerdict:
    """Every rule of a policy with its verdict and the values that led to it."""
    matched = policy.fits is None or policy.fits(about)
    rules = (*policy.rules_for(about.kind), *(policy.rego_rules if about.kind == "schedule" else ()))
    verdicts = [_verdict(policy, rule, about, now_ms) for rule in rules] if matched else []
    return PolicyVerdict(policy.policy.name, policy.policy.mode, matched and bool(rules), verdicts)


def _verdict(policy: CompiledPolicy, rule: CompiledRule, about: Subject, now_ms: int) -> RuleVerdict:
    answer = rule.ask(about)
    until_ms: int | None = None
    outcome: Outcome = "holds" if answer else "not_applicable"
    if answer is False or (answer is None and rule.rule.required):
        until_ms = excepted_until(policy, rule, about, now_ms)
        outcome = "violated" if until_ms is None else "excepted"
    explained = condition.explain(rule.condition, about)
    return RuleVerdict(rule.rule.name, rule.rule.action, outcome, rule.rule.message, explained, until_ms)


def shown_value(value: Any) -> Any:
    """A value as answers show it: tuples are lists there."""
    return list(value) if isinstance(value, tuple) else value

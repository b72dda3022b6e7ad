"""Policies as callers send them and see them. What a policy means as a whole is judged by ``core.rules.policy``."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.requests import Body, Instant, Opt, given
from chalicelib.api.http.responses import ViolationView, violation_view
from chalicelib.core.errors import InvalidField
from chalicelib.core.json_schema import formed, states
from chalicelib.core.rules.limits import (
    DESCRIPTION_MAX_CHARS,
    EXCEPTIONS_MAX_COUNT,
    MESSAGE_MAX_CHARS,
    POLICY_NAME_PATTERN,
    RULE_NAME_MAX_CHARS,
    RULE_NAME_PATTERN,
    RULES_MAX_COUNT,
    VALUES_MAX_COUNT,
)
from chalicelib.core.rules.policy import Action, Match, Mode, Rule, RuleException, WrittenPolicy
from chalicelib.core.rules.ruling import Finding, PolicyVerdict
from chalicelib.usecases.policies import Evaluation, NamedPolicy
from chalicelib.usecases.policy_dry_run import DryRun, Use

PolicyName = Annotated[str, formed(pattern=POLICY_NAME_PATTERN, examples=["https-only"])]
_One = Annotated[str, Meta(min_length=1)]
OneOrMore = _One | Annotated[list[_One], Meta(min_length=1, max_length=VALUES_MAX_COUNT)]
Condition = Annotated[
    dict[str, Any],
    Meta(
        description="`{field, operator, value}`, or one of `all`, `any` (lists of conditions) and `not`. It must hold."
    ),
]


class MatchBody(Body, kw_only=True):
    """Which subjects: those that every given field fits. Of several values one must fit."""

    conditions: ClassVar[dict[str, Any]] = {"minProperties": 1}
    tag: Opt[OneOrMore] = UNSET
    owner: Opt[OneOrMore] = UNSET
    type: Opt[OneOrMore] = UNSET
    target: Annotated[Opt[OneOrMore], Meta(description="The target's `type`.")] = UNSET
    name_prefix: Opt[OneOrMore] = UNSET


class RuleBody(Body, kw_only=True):
    """One assertion: the action applies where the condition does not hold."""

    name: Annotated[str, Meta(min_length=1, max_length=RULE_NAME_MAX_CHARS), states(pattern=RULE_NAME_PATTERN)]
    condition: Condition
    action: Action
    message: Annotated[str, Meta(min_length=1, max_length=MESSAGE_MAX_CHARS)]
    required: Annotated[
        bool, Meta(description="An absent field counts as a violation; else the rule says nothing.")
    ] = False


class ExceptionBody(Body, kw_only=True):
    """Whom rules do not stop until an instant. `approved_by` is who first wrote it here."""

    conditions: ClassVar[dict[str, Any]] = {"oneOf": [{"required": ["schedule_id"]}, {"required": ["match"]}]}
    until_unix_ms: Instant
    rule: Annotated[Opt[str], Meta(description="Left out: every rule of the policy.")] = UNSET
    schedule_id: Opt[str] = UNSET
    match: Opt[MatchBody] = UNSET
    reason: Annotated[str, Meta(max_length=MESSAGE_MAX_CHARS)] = ""
    approved_by: Opt[str] = UNSET


class PolicyBody(Body, kw_only=True):
    """A policy. The path says its `name`, which may be left out here."""

    name: Opt[PolicyName] = UNSET
    description: Annotated[str, Meta(max_length=DESCRIPTION_MAX_CHARS)] = ""
    mode: Annotated[Mode, Meta(description="`audit` records what it would deny, and lets it pass.")] = "enforce"
    match: Opt[MatchBody] = UNSET
    rules: Annotated[list[RuleBody], Meta(min_length=1, max_length=RULES_MAX_COUNT)]
    exceptions: Opt[Annotated[list[ExceptionBody], Meta(max_length=EXCEPTIONS_MAX_COUNT)]] = UNSET


class NewPolicyBody(PolicyBody, kw_only=True):
    """A policy to make."""

    name: PolicyName


class EvaluateBody(Body, kw_only=True):
    """What to judge: a schedule or a workflow as it would be made, or a lease as it would be asked for."""

    subject: dict[str, Any]
    action: Literal[
        "schedules:create",
        "schedules:edit",
        "schedules:trigger",
        "executions:retry",
        "firing",
        "leases:acquire",
        "leases:break",
        "workflows:publish",
        "workflows:start",
        "workflows:approve",
    ] = "schedules:create"


class DryRunBody(Body, kw_only=True):
    """A form that the policy might get; left out: the form it has."""

    policy: Opt[PolicyBody] = UNSET


class RuleView(msgspec.Struct, kw_only=True):
    """A rule."""

    name: str
    condition: Any
    action: Action
    message: str
    required: bool


class MatchView(msgspec.Struct, kw_only=True):
    """Which subjects."""

    tag: Opt[OneOrMore] = UNSET
    owner: Opt[OneOrMore] = UNSET
    type: Opt[OneOrMore] = UNSET
    target: Opt[OneOrMore] = UNSET
    name_prefix: Opt[OneOrMore] = UNSET


class ExceptionView(msgspec.Struct, kw_only=True):
    """An exception, also one that has ended."""

    until_unix_ms: int
    rule: str | None
    schedule_id: str | None
    match: MatchView | None
    reason: str
    approved_by: str


class PolicyView(msgspec.Struct, kw_only=True):
    """A policy. `notes` say what its author may not have meant, such as a field that no schedule has."""

    name: str
    description: str
    mode: Mode
    match: MatchView | None
    rules: list[RuleView]
    exceptions: list[ExceptionView]
    version: str
    notes: list[str]


class PolicyList(msgspec.Struct):
    """A page of policies, by name."""

    items: list[PolicyView]
    next_page_token: str | None


class PolicyVersions(msgspec.Struct):
    """The newest forms of a policy, newest first."""

    items: list[PolicyView]


class PolicyDeleted(msgspec.Struct):
    """What is gone."""

    name: str


class FoundView(ViolationView, kw_only=True):
    """A rule that does not hold, and what follows from that."""

    action: Action
    mode: Mode
    excepted_until_unix_ms: int | None


class EvaluationView(msgspec.Struct, kw_only=True):
    """The decision, every rule that does not hold, and the whole tree with its values."""

    decision: Literal["allow", "deny"]
    violations: list[FoundView]
    tree: list[PolicyVerdict]


class WouldDeny(msgspec.Struct, kw_only=True):
    """A rule that would deny a schedule."""

    schedule_id: str
    policy: str
    rule: str
    message: str


class DryRunView(msgspec.Struct, kw_only=True):
    """What policies would do. `schedules` and `firings` (of the last week) were judged; what warns or is excepted is
    counted. With a proposed form, `now_denied` and `no_longer_denied` compare it with the one that is kept."""

    schedules: int
    would_deny: list[WouldDeny]
    would_warn: int
    excepted: int
    now_denied: int
    no_longer_denied: int
    firings: int
    would_reject: int
    next_page_token: str | None


class UseView(msgspec.Struct, kw_only=True):
    """A schedule that a policy is about, and what the policy says of its next firing."""

    schedule_id: str
    name: str | None
    owner: str
    verdict: PolicyVerdict


class UseList(msgspec.Struct):
    """A page of schedules, newest first."""

    items: list[UseView]
    next_page_token: str | None


def use_view(found: Use) -> UseView:
    """A schedule that a policy is about."""
    d = found.definition
    return UseView(schedule_id=d.id, name=d.name, owner=d.owner, verdict=found.verdict)


def policy_of(body: PolicyBody, name: str | None = None) -> WrittenPolicy:
    """The policy that is wanted; ``name`` is what the path says. Raises InvalidField."""
    said = given(body.name)
    if name is not None and said not in (None, name):
        raise InvalidField.of("name", f"is not the name in the path, {name}")
    return WrittenPolicy(
        name=name or said or "",
        description=body.description,
        mode=body.mode,
        match=_match_of(body.match),
        rules=tuple(
            Rule(name=r.name, condition=r.condition, action=r.action, message=r.message, required=r.required)
            for r in body.rules
        ),
        exceptions=tuple(_exception_of(e) for e in given(body.exceptions) or ()),
    )


def _match_of(body: Opt[MatchBody]) -> Match | None:
    if body is UNSET:
        return None
    return Match(**{name: given(getattr(body, name)) for name in body.__struct_fields__})


def _exception_of(body: ExceptionBody) -> RuleException:
    return RuleException(
        until_unix_ms=body.until_unix_ms,
        rule=given(body.rule),
        schedule_id=given(body.schedule_id),
        match=_match_of(body.match),
        reason=body.reason,
    )


def view_of(found: NamedPolicy) -> PolicyView:
    """A policy as it is shown."""
    p = found.policy
    return PolicyView(
        name=p.name,
        description=p.description,
        mode=p.mode,
        match=_match_view(p.match),
        rules=[
            RuleView(name=r.name, condition=r.condition, action=r.action, message=r.message, required=r.required)
            for r in p.rules
        ],
        exceptions=[
            ExceptionView(
                until_unix_ms=e.until_unix_ms,
                rule=e.rule,
                schedule_id=e.schedule_id,
                match=_match_view(e.match),
                reason=e.reason,
                approved_by=e.approved_by,
            )
            for e in p.exceptions
        ],
        version=found.version,
        notes=found.notes,
    )


def _match_view(match: Match | None) -> MatchView | None:
    if match is None:
        return None
    return MatchView(**{n: v for n in match.__struct_fields__ if (v := getattr(match, n)) is not None})


def evaluation_view(found: Evaluation) -> EvaluationView:
    """What the policies say of a subject."""
    return EvaluationView(
        decision=found.ruling.decision,
        violations=[_found_view(finding) for finding in found.ruling.findings],
        tree=found.tree,
    )


def _found_view(finding: Finding) -> FoundView:
    plain = violation_view(finding.violation)
    return FoundView(
        **msgspec.structs.asdict(plain),
        action=finding.action,
        mode=finding.mode,
        excepted_until_unix_ms=finding.excepted_until_ms,
    )


def dry_run_view(done: DryRun, token: str | None) -> DryRunView:
    """What policies would do."""
    return DryRunView(
        schedules=done.schedules,
        would_deny=[WouldDeny(**msgspec.structs.asdict(denial)) for denial in done.denials],
        would_warn=done.would_warn,
        excepted=done.excepted,
        now_denied=done.now_denied,
        no_longer_denied=done.no_longer_denied,
        firings=done.firings,
        would_reject=done.would_reject,
        next_page_token=token,
    )

"""Policies: rules as their authors write them, and compiled.

**A rule is an assertion**: its action applies where its condition does not hold. A rule whose field is absent says
nothing, unless it is ``required``. A rule judges schedules, or requests for leases where its fields begin with
``lease.``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec import Struct

from chalicelib.core.decoders import decoder_of
from chalicelib.core.errors import FieldError, InvalidField, NotSupported
from chalicelib.core.rules import condition
from chalicelib.core.rules.condition import Ask, Condition, Leaf
from chalicelib.core.rules.limits import (
    DESCRIPTION_MAX_CHARS,
    EXCEPTIONS_MAX_COUNT,
    MESSAGE_MAX_CHARS,
    POLICY_MAX_BYTES,
    POLICY_NAME_PATTERN,
    REGO_MAX_CHARS,
    RULE_NAME_MAX_CHARS,
    RULE_NAME_PATTERN,
    RULES_MAX_COUNT,
    VALUES_MAX_COUNT,
)
from chalicelib.core.rules.subject import (
    LEASE,
    LEASE_FIELDS,
    SCHEDULE_FIELDS,
    TARGET_PREFIXES,
    WORKFLOW,
    WORKFLOW_FIELDS,
    Subject,
    SubjectKind,
)

Action = Literal["deny", "warn", "audit"]
Mode = Literal["enforce", "audit"]
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)  # the strongest first
Names = str | list[str]
_RULE_NAME: Final = re.compile(RULE_NAME_PATTERN)
_NAME: Final = re.compile(POLICY_NAME_PATTERN, re.ASCII)


class Match(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which subjects: those that every given field fits. Of several values one must fit. A lease has only an owner and
    a name, so a match that names more fits none."""

    tag: Names | None = None
    owner: Names | None = None
    type: Names | None = None
    target: Names | None = None
    name_prefix: Names | None = None


class Rule(Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """One assertion. ``required``: an absent field counts as a violation."""

    name: str
    condition: Any
    action: Action
    message: str
    required: bool = False


class RuleException(Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a rule (None: every rule of the policy) does not stop until ``until_unix_ms``. Its verdict stays on show."""

    until_unix_ms: int
    rule: str | None = None
    schedule_id: str | None = None
    match: Match | None = None
    reason: str = ""
    approved_by: str = ""


class WrittenPolicy(Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """A policy as its author wrote it."""

    name: str
    rules: tuple[Rule, ...]
    description: str = ""
    mode: Mode = "enforce"
    match: Match | None = None
    exceptions: tuple[RuleException, ...] = ()


class CompiledRule(Struct, frozen=True):
    """A rule that is ready to be asked. ``rego`` is the module that has to be asked in its place; empty: there is
    none."""

    rule: Rule
    kind: SubjectKind
    condition: Condition
    ask: Ask
    rego: str = ""


class CompiledException(Struct, frozen=True):
    """An exception that is ready to be asked."""

    exception: RuleException
    fits: Fits


class CompiledPolicy(Struct, frozen=True):
    """A policy that is ready to be asked. ``fits`` None: it is about every subject. ``rego_rules`` are asked at
    admission only, by an engine, and stand in no other list but ``rules``."""

    policy: WrittenPolicy
    fits: Fits | None
    rules: tuple[CompiledRule, ...]
    schedule_rules: tuple[CompiledRule, ...]
    lease_rules: tuple[CompiledRule, ...]
    workflow_rules: tuple[CompiledRule, ...]
    rego_rules: tuple[CompiledRule, ...]
    exceptions: tuple[CompiledException, ...]

    def rules_for(self, kind: SubjectKind) -> tuple[CompiledRule, ...]:
        """Those that judge subjects of a kind without an engine."""
        return {LEASE: self.lease_rules, WORKFLOW: self.workflow_rules}.get(kind, self.schedule_rules)


Fits = Callable[[Subject], bool]


def write(policy: WrittenPolicy) -> str:
    """The document of a policy."""
    return msgspec.json.encode(policy).decode()


def read(document: str) -> WrittenPolicy:
    """The policy of a document that ``write`` made. Raises ValueError for one with unknown fields: a later
    release wrote it, and what they mean is not known."""
    return decoder_of(WrittenPolicy).decode(document)


def compile_policy(policy: WrittenPolicy) -> CompiledPolicy:
    """Check a policy whole and make it ready. Raises InvalidField with all that is wrong, NotSupported."""
    errors = list(_problems(policy))
    rules: list[CompiledRule] = []
    for number, rule in enumerate(policy.rules):
        try:
            rules.append(_compile_rule(rule, f"rules.{number}"))
        except NotSupported:
            raise
        except InvalidField as wrong:
            errors += wrong.errors
    if errors:
        raise InvalidField(errors)
    if len(write(policy).encode()) > POLICY_MAX_BYTES:
        raise InvalidField.of("rules", f"a policy may have at most {POLICY_MAX_BYTES} bytes")
    return CompiledPolicy(
        policy=policy,
        fits=None if policy.match is None else fits(policy.match),
        rules=tuple(rules),
        schedule_rules=tuple(rule for rule in rules if rule.kind == "schedule" and not rule.rego),
        rego_rules=tuple(rule for rule in rules if rule.rego),
        lease_rules=tuple(rule for rule in rules if rule.kind == LEASE),
        workflow_rules=tuple(rule for rule in rules if rule.kind == WORKFLOW),
        exceptions=tuple(CompiledException(e, _fits_exception(e)) for e in policy.exceptions),
    )


def _compile_rule(rule: Rule, place: str) -> CompiledRule:
    if isinstance(rule.condition, dict) and condition.REGO in rule.condition:
        return _rego_rule(rule, place)
    read_condition = condition.read(rule.condition, f"{place}.condition")
    fields = [leaf.field for leaf in condition.leaves(read_condition)]
    kinds = {_kind_of(field) for field in fields}
    if len(kinds) > 1:
        said = "a rule is about schedules, about leases or about workflows, not about several"
        raise InvalidField.of(f"{place}.condition", said)
    (kind,) = kinds
    return CompiledRule(rule, kind, read_condition, read_condition.ask)


def _kind_of(field: str) -> SubjectKind:
    kinds: tuple[SubjectKind, ...] = (LEASE, WORKFLOW)
    return next((kind for kind in kinds if field.startswith(f"{kind}.")), "schedule")


def _rego_rule(rule: Rule, place: str) -> CompiledRule:
    """A rule whose condition is a module: whether the module can run is for its engine to say."""
    module = rule.condition[condition.REGO]
    if len(rule.condition) > 1:
        raise InvalidField.of(f"{place}.condition", "rego must stand alone")
    if not isinstance(module, str) or not 1 <= len(module) <= REGO_MAX_CHARS:
        raise InvalidField.of(f"{place}.condition.rego", f"must be a module of 1 to {REGO_MAX_CHARS} characters")
    if rule.required:
        raise InvalidField.of(f"{place}.required", "has no meaning for rego: what its rule leaves undefined is denied")
    unasked = Leaf("", condition.REGO, None, lambda _: None)
    return CompiledRule(rule, "schedule", unasked, unasked.ask, module)


def _problems(policy: WrittenPolicy) -> Sequence[FieldError]:
    found: list[FieldError] = []
    if _NAME.fullmatch(policy.name) is None:
        found.append(FieldError("name", "must be 1 to 64 letters, digits, '.', '_' or '-'"))
    if len(policy.description) > DESCRIPTION_MAX_CHARS:
        found.append(FieldError("description", f"must have at most {DESCRIPTION_MAX_CHARS} characters"))
    if not 1 <= len(policy.rules) <= RULES_MAX_COUNT:
        found.append(FieldError("rules", f"must be 1 to {RULES_MAX_COUNT} rules"))
    if len(policy.exceptions) > EXCEPTIONS_MAX_COUNT:
        found.append(FieldError("exceptions", f"at most {EXCEPTIONS_MAX_COUNT} exceptions"))
    names = [rule.name for rule in policy.rules]
    for number, rule in enumerate(policy.rules):
        if len(rule.name) > RULE_NAME_MAX_CHARS or _RULE_NAME.fullmatch(rule.name) is None:
            found.append(FieldError(f"rules.{number}.name", f"must have 1 to {RULE_NAME_MAX_CHARS} characters"))
        elif rule.name in names[:number]:
            found.append(FieldError(f"rules.{number}.name", "is the name of another rule of this policy"))
        if not 1 <= len(rule.message) <= MESSAGE_MAX_CHARS:
            found.append(FieldError(f"rules.{number}.message", f"must have 1 to {MESSAGE_MAX_CHARS} characters"))
    found += _match_problems(policy.match, "match")
    for number, exception in enumerate(policy.exceptions):
        place = f"exceptions.{number}"
        if exception.rule is not None and exception.rule not in names:
            found.append(FieldError(f"{place}.rule", "is no rule of this policy"))
        if (exception.schedule_id is None) == (exception.match is None):
            found.append(FieldError(place, "needs a schedule_id or a match, and not both"))
        found += _match_problems(exception.match, f"{place}.match")
    return found


def _match_problems(match: Match | None, place: str) -> Sequence[FieldError]:
    if match is None:
        return ()
    given = [(name, getattr(match, name)) for name in match.__struct_fields__ if getattr(match, name) is not None]
    if not given:
        return [FieldError(place, "names nothing; leave it out to judge every subject")]
    return [
        FieldError(f"{place}.{name}", f"must be a text, or 1 to {VALUES_MAX_COUNT} texts")
        for name, value in given
        if not value or not all(value) or len(value) > VALUES_MAX_COUNT
    ]


def fits(match: Match) -> Fits:
    """Whether a subject is one of these, ready to be asked."""
    tags, prefixes = _set(match.tag), tuple(_set(match.name_prefix))
    exact = [
        (field, _set(names))
        for field, names in (("owner", match.owner), ("type", match.type), ("target.type", match.target))
        if names is not None
    ]

    def are_these(about: Subject) -> bool:
        place = "" if about.kind == "schedule" else f"{about.kind}."
        if tags and not any(tag in tags for tag in about.tags):
            return False
        for field, names in exact:
            value = about.fields.get(place + field)
            if not isinstance(value, str) or value not in names:
                return False
        if not prefixes:
            return True
        name = about.fields.get(f"{place}name")
        return isinstance(name, str) and name.startswith(prefixes)

    return are_these


def _set(names: Names | None) -> frozenset[str]:
    return frozenset(() if names is None else [names] if isinstance(names, str) else names)


def _fits_exception(exception: RuleException) -> Fits:
    if exception.match is not None:
        return fits(exception.match)
    wanted = exception.schedule_id
    return lambda about: about.fields.get("id") == wanted


def notes(compiled: CompiledPolicy) -> list[str]:
    """What an author should know of a policy that is sound: a misspelt field never applies, and would stay unseen."""
    return [
        f"rule {rule.rule.name}: no {rule.kind} has a field {leaf.field}"
        for rule in compiled.rules
        for leaf in condition.leaves(rule.condition)
        if not rule.rego and not _is_known(rule.kind, leaf.field)
    ]


def _is_known(kind: SubjectKind, field: str) -> bool:
    known = {LEASE: LEASE_FIELDS, WORKFLOW: WORKFLOW_FIELDS}.get(kind, SCHEDULE_FIELDS)
    return field in known or (kind == "schedule" and field.startswith(TARGET_PREFIXES))

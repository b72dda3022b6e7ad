"""Policies as they are stored, ready to be asked, also those that this release cannot read.

A later release may have written such a one before the way back, or its document was damaged. What it would have denied
is not known, so it denies everything that it matches. Without it, what an administrator forbade would pass. If its
``match`` cannot be read either, it matches everything. Changes of policies are never judged, so an administrator can
always replace it or delete it.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple, get_args

import msgspec

from chalicelib.core.decoders import converted
from chalicelib.core.errors import InvalidField
from chalicelib.core.rules import policy
from chalicelib.core.rules.condition import Leaf
from chalicelib.core.rules.policy import CompiledPolicy, CompiledRule, Match, Mode, Rule, WrittenPolicy

RULE: Final = "unreadable"
MESSAGE: Final = "this release cannot read the policy, so it denies what the policy matches: replace or delete it"


class StoredPolicy(NamedTuple):
    """A policy, and what keeps this release from reading it (empty: nothing)."""

    compiled: CompiledPolicy
    problem: str


def read(name: str, document: str) -> StoredPolicy:
    """The policy of a stored document. Raises nothing."""
    try:
        return StoredPolicy(policy.compile_policy(policy.read(document)), "")
    except InvalidField as wrong:
        problem = "; ".join(f"{error.field} {error.message}" for error in wrong.errors)
    except (ValueError, RecursionError) as wrong:
        problem = str(wrong)
    return StoredPolicy(_stand_in(name, document), problem or "its document is damaged")


def _stand_in(name: str, document: str) -> CompiledPolicy:
    """What denies everything that the policy matches, or only says so where it is known to audit."""
    given = _object(document)
    mode: Mode = given["mode"] if given.get("mode") in get_args(Mode) else "enforce"
    rule = Rule(name=RULE, condition=None, action="deny", message=MESSAGE)
    written = WrittenPolicy(name=name, rules=(rule,), mode=mode, match=_match(given.get("match")))
    never = Leaf("", RULE, None, lambda _: False)
    rules = (CompiledRule(rule, "schedule", never, never.ask),)
    return CompiledPolicy(
        policy=written,
        fits=None if written.match is None else policy.fits(written.match),
        rules=rules,
        schedule_rules=rules,
        lease_rules=rules,
        workflow_rules=rules,
        rego_rules=(),
        exceptions=(),
    )


def _object(document: str) -> dict[str, Any]:
    try:
        found = json.loads(document)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _match(given: Any) -> Match | None:
    """Whom it is about. A part that cannot be read is left out, so that it is about more."""
    parts = given if isinstance(given, dict) else {}
    known: dict[str, Any] = {}
    for name in Match.__struct_fields__:
        try:
            names = converted(parts.get(name), str | list[str])
        except msgspec.ValidationError:
            continue
        if names and all(names):
            known[name] = names
    return Match(**known) if known else None

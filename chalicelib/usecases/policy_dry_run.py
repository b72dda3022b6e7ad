"""What policies would do: to all schedules that there are, and to the firings of the last week. Nothing is written.

One call does a bounded part, so that it answers in seconds, and says where the next one goes on. First come schedules,
newest first; when these are done, the journal follows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct

from chalicelib.core.limits import PAGE_MAX_ITEMS
from chalicelib.core.rules import subject
from chalicelib.core.rules.limits import (
    DRY_RUN_BUDGET_MS,
    DRY_RUN_JOURNAL_MS,
    DRY_RUN_MAX_FIRINGS,
    DRY_RUN_MAX_SCHEDULES,
)
from chalicelib.core.rules.policy import CompiledPolicy, WrittenPolicy
from chalicelib.core.rules.ruling import Finding, PolicyVerdict, explain, judge
from chalicelib.core.schedules.schedule import Definition, Key
from chalicelib.core.security.authorize import authorize
from chalicelib.core.security.caller import Caller
from chalicelib.engine import known_policies, rulings
from chalicelib.engine.definitions import load_definitions
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import ScheduleFilter, Versioned
from chalicelib.usecases import policies, policy_gate, rego_rules, schedules

USE_MAX_PAGES = 10  # of schedules read for one page of those that a policy is about
EDIT = "schedules:edit"
_JOURNAL = "journal:"


class Denial(Struct, frozen=True):
    """A rule that would deny a schedule."""

    schedule_id: str
    policy: str
    rule: str
    message: str


class Use(Struct, frozen=True):
    """A schedule that a policy is about, and what the policy says of it."""

    definition: Definition
    verdict: PolicyVerdict


class DryRun(Struct):
    """What a call has found, and where the next one goes on (None: all is done). ``firings`` of the last week were
    judged, of which ``would_reject`` would not have been sent. ``now_denied`` and ``no_longer_denied`` compare a
    proposed form with the one that is kept."""

    schedules: int = 0
    denials: list[Denial] = []
    would_warn: int = 0
    excepted: int = 0
    now_denied: int = 0
    no_longer_denied: int = 0
    firings: int = 0
    would_reject: int = 0
    after: str | None = None


def where_used(s: Services, caller: Caller, name: str, limit: int, after: str | None) -> tuple[list[Use], str | None]:
    """The schedules that a policy is about and that the caller may see, newest first, and where to go on (None: the
    end). The work is bounded: where few match, a page may be short and still go on. Raises NotFound."""
    authorize(caller, "policies:read")
    wanted = policies.compiled(s, caller, name)
    found: list[Use] = []
    for _ in range(USE_MAX_PAGES):
        page, after = schedules.page(s, caller, ScheduleFilter(), limit - len(found), after)
        for one in page:
            about = subject.of_definition(one.definition, rulings.FIRING)
            verdict = explain(wanted, about, s.clock.now_ms())
            if verdict.matched:
                found.append(Use(one.definition, verdict))
        if after is None or len(found) >= limit:
            break
    return found, after


def run_one(
    s: Services,
    caller: Caller,
    name: str,
    proposed: WrittenPolicy | None,
    after: str | None,
    versions: Sequence[str] | None = None,
) -> DryRun:
    """What one policy would do, as it is kept or as it is ``proposed`` to be, also if it only audits now. ``versions``:
    those that the kept one may have (None: any, or none).

    Raises NotFound, InvalidField, PreconditionFailed.
    """
    authorize(caller, "policies:write")
    known = s.stores.policies.load(caller.tenant, name)
    wanted = policies.compiled(s, caller, name, proposed)
    policies.check_version(known, versions)
    before = [] if proposed is None or known is None else [policies.compiled(s, caller, name)]
    return _run(s, caller, [wanted], before if proposed is not None else None, after)


def run_all(s: Services, caller: Caller, after: str | None) -> DryRun:
    """What all policies would do."""
    authorize(caller, "policies:write")
    return _run(s, caller, known_policies.current(s, caller.tenant), None, after)


def _run(
    s: Services,
    caller: Caller,
    wanted: Sequence[CompiledPolicy],
    before: Sequence[CompiledPolicy] | None,
    after: str | None,
) -> DryRun:
    done, until_ms = DryRun(), s.clock.now_ms() + DRY_RUN_BUDGET_MS
    if after is None or not after.startswith(_JOURNAL):
        _through_schedules(s, caller, wanted, before, after, done, until_ms)
        if done.after is not None:
            return done
        after = done.after = _JOURNAL
    if s.clock.now_ms() < until_ms:
        _through_journal(s, caller.tenant, wanted, after.removeprefix(_JOURNAL) or None, done, until_ms)
    return done


def _through_schedules(
    s: Services,
    caller: Caller,
    wanted: Sequence[CompiledPolicy],
    before: Sequence[CompiledPolicy] | None,
    after: str | None,
    done: DryRun,
    until_ms: int,
) -> None:
    while True:
        limit = min(PAGE_MAX_ITEMS, DRY_RUN_MAX_SCHEDULES - done.schedules)
        found = s.stores.schedules.list(caller.tenant, ScheduleFilter(), limit, after)
        keys = [Key(caller.tenant, i) for i in found.ids]
        definitions = s.stores.schedules.definitions(keys)
        after = done.after = found.after
        for key in keys:
            if key in definitions:
                _look_at(s, caller, definitions[key], wanted, before, done)
            if s.clock.now_ms() >= until_ms and key != keys[-1]:  # modules of Rego may take their time
                done.after = key.id
                return
        if after is None or done.schedules >= DRY_RUN_MAX_SCHEDULES or s.clock.now_ms() >= until_ms:
            return


def _look_at(
    s: Services,
    caller: Caller,
    definition: Definition,
    wanted: Sequence[CompiledPolicy],
    before: Sequence[CompiledPolicy] | None,
    done: DryRun,
) -> None:
    findings = _findings(s, caller, definition, wanted)
    done.schedules += 1
    denials = list(_denials(findings))
    done.denials += [Denial(definition.id, v.policy, v.rule, v.message) for v in (f.violation for f in denials)]
    done.excepted += any(f.excepted_until_ms is not None for f in findings)
    done.would_warn += any(f.action == "warn" and f.excepted_until_ms is None for f in findings)
    if before is not None:
        was = any(_denials(_findings(s, caller, definition, before)))
        done.now_denied += bool(denials) and not was
        done.no_longer_denied += was and not denials


def _findings(
    s: Services, caller: Caller, definition: Definition, policies: Sequence[CompiledPolicy]
) -> Sequence[Finding]:
    """What they say of a schedule's firings, and those in Rego, which are not asked of firings, of an edit."""
    now_ms = s.clock.now_ms()
    found = judge(policies, subject.of_definition(definition, rulings.FIRING), now_ms).findings
    if not any(policy.rego_rules for policy in policies):
        return found
    about = subject.of_definition(definition, EDIT)
    asked = policy_gate.question(caller, EDIT, about)
    return (*found, *rego_rules.findings(s, policies, about, asked, now_ms))


def _denials(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Those that would deny if their policies were in force."""
    return (f for f in findings if f.action == "deny" and f.excepted_until_ms is None)


def _through_journal(
    s: Services, tenant: str, wanted: Sequence[CompiledPolicy], after: str | None, done: DryRun, until_ms: int
) -> None:
    """Judge each firing by the definition that it ran under. One whose definition has expired is not counted."""
    verdicts: dict[str, bool] = {}
    now_ms = s.clock.now_ms()
    shards = range(s.config.shards)
    while True:
        page = s.stores.executions.recent(
            tenant, shards, now_ms - DRY_RUN_JOURNAL_MS, now_ms, min(PAGE_MAX_ITEMS, DRY_RUN_MAX_FIRINGS), after
        )
        records = s.stores.executions.get(page.keys).values()
        ran = Counter(Versioned(e.key_of_schedule, e.version) for e in records)
        unknown = {version for version in ran if version.version not in verdicts}
        for version, definition in load_definitions(s, unknown).items():
            about = subject.of_definition(definition, rulings.FIRING)
            verdicts[version.version] = any(_denials(judge(wanted, about, now_ms).findings))
        judged = [version for version in ran.elements() if version.version in verdicts]
        done.firings += len(judged)
        done.would_reject += sum(verdicts[version.version] for version in judged)
        after = page.after
        done.after = None if after is None else _JOURNAL + after
        if after is None or done.firings >= DRY_RUN_MAX_FIRINGS or s.clock.now_ms() >= until_ms:
            return

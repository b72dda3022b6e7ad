"""The story of a seed: a readable timeline of what happened in its world."""

from __future__ import annotations

from collections.abc import Iterator

from chalicelib.core.instants import to_rfc3339
from tests.simulation.play import Played


def lines(played: Played, left_out: frozenset[str] = frozenset()) -> Iterator[str]:
    """The plan (less what is left out), the timeline (seconds since the world began, who, what), and what broke."""
    plan = played.scenario
    mood = ", calm" if plan.calm else f", theme {plan.theme}" if plan.theme else ""
    yield (
        f"seed {plan.seed}: {plan.active_ms // 1000} s from {to_rfc3339(plan.start_ms)} ({plan.start_ms}), "
        f"{plan.instances} instances, {plan.shards} shards, horizon {plan.horizon_ms // 1000} s, "
        f"drift {plan.max_drift_ms} ms, visibility {plan.visibility_ms // 1000} s{mood}"
    )
    for schedule in (s for s in plan.schedules if f"schedule {s.number}" not in left_out):
        yield f"  plan: at {_clock(schedule.at_ms - plan.start_ms)} create {schedule.id}: {dict(schedule.fields)}"
    for op in (op for op in plan.ops if f"op {op.number}" not in left_out):
        yield f"  plan: at {_clock(op.at_ms - plan.start_ms)} {op}"
    for fault in (f for f in plan.faults if f"fault {f.number}" not in left_out):
        yield f"  plan: at {_clock(fault.at_ms - plan.start_ms)} {fault}"
    for at_ms, who, text in played.story:
        yield f"{_clock(at_ms - plan.start_ms)}  {who:<7} {text}"
    for problem in played.problems:
        yield f"BROKEN  {problem}"


def _clock(ms: int) -> str:
    minutes, rest = divmod(ms, 60_000)
    return f"{minutes:3}:{rest // 1000:02}.{rest % 1000:03}"

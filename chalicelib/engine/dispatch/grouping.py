"""Grouping: which firings travel in one call, whose line a call waits in, and in which order calls line up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from chalicelib.core.batches import chunks
from chalicelib.core.targets.registry import destination_of
from chalicelib.engine.dispatch.call import TargetCall
from chalicelib.engine.prepare import Ready
from chalicelib.ports.target import Target
from chalicelib.process.admission import Caps


def by_target(group: Sequence[Ready]) -> dict[str, list[Ready]]:
    """Firings by the kind of their target."""
    found: dict[str, list[Ready]] = defaultdict(list)
    for ready in group:
        found[ready.target_type].append(ready)
    return found


def by_call(caps: Caps, target: Target, several: Sequence[Ready]) -> list[Sequence[Ready]]:
    """Firings by the call that carries them. Where there are limits, a call is of one owner and one destination.
    Otherwise calls are full, and of one owner as far as that costs no further call."""
    if target.max_batch == 1:
        return [[ready] for ready in several]
    by_line: dict[tuple[str, str], list[Ready]] = defaultdict(list)
    for ready in several:
        by_line[line_of(caps, [ready])].append(ready)
    if len(by_line) == 1 or caps.limited:
        most = caps.most_in_a_call(target.max_batch)
        return [group for same in by_line.values() for group in chunks(same, most)]
    groups, rest = list[Sequence[Ready]](), list[Ready]()
    for same in by_line.values():
        full = len(same) - len(same) % target.max_batch
        groups += chunks(same[:full], target.max_batch)
        rest += same[full:]
    return [*groups, *chunks(rest, target.max_batch)]


def line_of(caps: Caps, group: Sequence[Ready]) -> tuple[str, str]:
    """Whose line a call waits in, and for which destination; firings of several owners wait in a line of their own."""
    owners = {_owner(r) for r in group}
    owner = owners.pop() if len(owners) == 1 else ""
    return owner, destination_of(group[0].claimed.definition.target) if caps.by_target else ""


def owner_by_owner(calls: Sequence[TargetCall]) -> Sequence[TargetCall]:
    """The first call of each owner, then the second of each, and so on."""
    seen: dict[str, int] = defaultdict(int)
    rounds = []
    for call in calls:
        rounds.append(seen[call.ticket.owner])
        seen[call.ticket.owner] += 1
    if len(seen) < 2:
        return calls
    return [calls[number] for number in sorted(range(len(calls)), key=rounds.__getitem__)]


def _owner(ready: Ready) -> str:
    """An owner as lines and limits know it: the same name in two tenants is two owners."""
    definition = ready.claimed.definition
    return f"{definition.tenant}/{definition.owner}"

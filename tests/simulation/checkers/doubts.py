"""A failure is doubted before it is written: of what was cancelled meanwhile no dead letter tells.

Dead letters are queued before the record that they belong to is written, and nobody can take one back. So whoever has
seen a call fail reads the record once more. What was cancelled before the call had ended, no matter by whom, is seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chalicelib.core.executions.execution import FAILED, TIMEOUT
from tests.simulation.actors.tables import as_of_execution

FAILING = frozenset({"error", "slow_error", "hang", "later", "gone", "refused"})


def check(play: Any) -> Iterable[str]:
    """Every dead letter, against the record when the call that failed had ended."""
    record = play.world.record
    stored = {key.id: writes for key, writes in record.executions.items()}
    for letter in record.letters:
        writes = stored.get(letter.id)
        if writes is None:
            if not letter.id.endswith("-cancel"):
                yield f"a dead letter of {letter.id}, which nobody stored"
            continue
        calls = [
            d
            for d in record.dispatches
            if d.key.id == letter.id and d.instance is letter.instance and d.kind in FAILING and d.ended_ms is not None
        ]
        ended_ms = max((d.ended_ms for d in calls if d.ended_ms <= letter.at_ms), default=None)
        seen = None if ended_ms is None else as_of_execution(writes, ended_ms - 1)
        if seen is None or seen.is_open:
            continue
        if not any(w.record.state in (FAILED, TIMEOUT) and w.at_ms > ended_ms for w in writes):
            yield f"{letter.id} was {seen.state} when its call ended at {ended_ms}, and left a dead letter"

"""Feed: what the stream of executions tells; for now the numbers of what ended, counted off the path of the firings.

Each execution ends once (a retry by a caller makes it end again, and count again), so counting the records that arrive
in a final state counts ends. The numbers are telemetry, not truth: the tables are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from chalicelib.core import execution as journal
from chalicelib.core.execution import Execution


class Tally(Struct, frozen=True):
    """Ends by state; the lateness of those that started, in milliseconds; how many were late, or dead letters."""

    ended: Mapping[str, int]
    lateness_ms: tuple[int, ...]
    late: int
    dead_letters: int


def tally(records: Iterable[Execution]) -> Tally:
    """Count the records that are in a final state."""
    final = [record for record in records if not record.is_open]
    ended = Counter(record.state for record in final)
    return Tally(
        ended=dict(sorted(ended.items())),
        lateness_ms=tuple(record.lateness_ms for record in final if record.lateness_ms is not None),
        late=sum(record.late for record in final),
        dead_letters=ended[journal.FAILED] + ended[journal.TIMEOUT],
    )

"""``RunStore`` in memory."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence

from msgspec.structs import replace

from chalicelib.core.workflows.run_slots import SlotTable
from chalicelib.core.workflows.run_state import RunEvent, RunState, fold
from chalicelib.ports.stores.runs import RunLogRead, RunSummary, WokenRun

_Key = tuple[str, str]


class MemoryRunStore:
    """``RunStore`` in memory: no list lags."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._summaries: dict[_Key, RunSummary] = {}
        self._logs: dict[_Key, list[RunEvent]] = defaultdict(list)
        self._snapshots: dict[_Key, RunState] = {}
        self._slots: dict[_Key, SlotTable] = {}
        self._payloads: dict[tuple[str, str, str], bytes] = {}

    def enter(self, summary: RunSummary) -> bool:
        """Write the summary of a run that has none."""
        with self._lock:
            if (summary.tenant, summary.id) in self._summaries:
                return False
            self._summaries[summary.tenant, summary.id] = replace(summary, change=None)
            return True

    def append(self, tenant: str, run_id: str, events: Sequence[RunEvent]) -> bool:
        """Add events, which are numbered in a row. False when the first one's number is taken."""
        with self._lock:
            log = self._logs[tenant, run_id]
            if events[0].number != len(log) + 1:
                return False
            log += events
            return True

    def read(self, tenant: str, run_id: str) -> RunLogRead:
        """The newest snapshot and the events after it."""
        with self._lock:
            kept = self._snapshots.get((tenant, run_id))
            after = 0 if kept is None else kept.events
            return RunLogRead(None if kept is None else fold(kept, ()), self._logs[tenant, run_id][after:])

    def events(self, tenant: str, run_id: str, after: int, limit: int) -> list[RunEvent]:
        """Events after a number, in order."""
        with self._lock:
            return self._logs[tenant, run_id][after : after + limit]

    def snapshot(self, state: RunState) -> None:
        """Keep the state as of its last event, unless a newer one is kept."""
        with self._lock:
            kept = self._snapshots.get((state.tenant, state.id))
            if kept is None or kept.events < state.events:
                self._snapshots[state.tenant, state.id] = fold(state, ())

    def summarize(self, summary: RunSummary, expected_rev: int) -> bool:
        """Replace a run's summary if its stored rev still is ``expected_rev``."""
        with self._lock:
            known = self._summaries.get((summary.tenant, summary.id))
            if known is None or known.rev != expected_rev:
                return False
            self._summaries[summary.tenant, summary.id] = replace(summary, change=None)
            return True

    def wake_by(self, tenant: str, run_id: str, wake_ms: int, kept_from_ms: int) -> None:
        """Have a run checked by then."""
        with self._lock:
            known = self._summaries.get((tenant, run_id))
            if known is not None and (known.wake_ms is None or not kept_from_ms <= known.wake_ms <= wake_ms):
                self._summaries[tenant, run_id] = replace(known, wake_ms=wake_ms, rev=known.rev + 1)

    def woken(self, until_ms: int, limit: int) -> list[WokenRun]:
        """Runs to check by an instant, of all tenants, the earliest first."""
        with self._lock:
            due = [
                WokenRun(s.tenant, s.id, s.wake_ms)
                for s in self._summaries.values()
                if s.wake_ms is not None and s.wake_ms <= until_ms
            ]
        return sorted(due, key=lambda w: (w.wake_ms, w.tenant, w.id))[:limit]

    def load(self, tenant: str, run_id: str) -> RunSummary | None:
        """A run's summary."""
        with self._lock:
            return self._summaries.get((tenant, run_id))

    def page(
        self, tenant: str, workflow: str | None, status: str | None, limit: int, after: str | None
    ) -> tuple[list[RunSummary], str | None]:
        """A tenant's runs, newest first, and where to go on (None: the end)."""
        with self._lock:
            mine = [s for s in self._summaries.values() if s.tenant == tenant and s.listed]
        places = {f"{s.started_ms:015d}#{s.id}": s for s in mine}
        order = sorted((place for place in places if after is None or place < after), reverse=True)
        wanted = [
            place
            for place in order
            if workflow in (None, places[place].workflow) and status in (None, places[place].status)
        ]
        more = wanted[limit - 1] if len(wanted) > limit else None
        return [places[place] for place in wanted[:limit]], more

    def slots(self, tenant: str, name: str) -> SlotTable | None:
        """Who has the slots of one key."""
        with self._lock:
            return self._slots.get((tenant, name))

    def save_slots(self, table: SlotTable, expected_rev: str) -> bool:
        """Write a table if its stored rev still is ``expected_rev`` (empty: if there is none)."""
        with self._lock:
            known = self._slots.get((table.tenant, table.name))
            if ("" if known is None else known.rev) != expected_rev:
                return False
            if table.held or table.waiting:
                self._slots[table.tenant, table.name] = table
            else:
                self._slots.pop((table.tenant, table.name), None)
            return True

    def purge(self, tenant: str, run_id: str) -> bool:
        """Delete all that is kept of a run."""
        with self._lock:
            self._logs.pop((tenant, run_id), None)
            self._snapshots.pop((tenant, run_id), None)
            for name in [name for name in self._payloads if name[:2] == (tenant, run_id)]:
                del self._payloads[name]
            self._summaries.pop((tenant, run_id), None)
            return True

    def put_payload(self, tenant: str, run_id: str, name: str, content: bytes, expires_s: int | None = None) -> None:
        """Keep bytes under a name."""
        with self._lock:
            self._payloads[tenant, run_id, name] = content

    def payloads(self, tenant: str, run_id: str, names: Sequence[str]) -> dict[str, bytes]:
        """Bytes that were kept, by name."""
        with self._lock:
            found = {name: self._payloads.get((tenant, run_id, name)) for name in names}
        return {name: content for name, content in found.items() if content is not None}

"""The logs of runs. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from chalicelib.core.workflows.run_slots import SlotTable
from chalicelib.core.workflows.run_state import RunEvent, RunState, SeenRun


class RunSummary(Struct, frozen=True):
    """What lists show of a run; the log is the truth. ``wake_ms`` is when reconcile checks the run, if nothing else
    happens to it (None: never). ``rev`` grows with every change of this record."""

    tenant: str
    id: str
    workflow: str
    version: str
    status: str
    owner: str
    started_ms: int
    finished_ms: int | None = None
    wake_ms: int | None = None
    rev: int = 1
    listed: bool = True  # the runs of items are not
    redrives: int = 0  # how often it went on after its end, or is about to
    change: SeenRun | None = None  # what the change feed says of a new status; it is written, and not read back


class RunLogRead(NamedTuple):
    """A state that was true once, and all events after it."""

    state: RunState | None
    events: list[RunEvent]


class WokenRun(NamedTuple):
    """A run that is to be checked, and since when."""

    tenant: str
    id: str
    wake_ms: int


class RunStore(Protocol):
    """One log a run. Events are appended together, on the condition that the first one's number is free."""

    def enter(self, summary: RunSummary) -> bool:
        """Write the summary of a run that has none. False when there is one: the id is taken."""
        ...

    def append(self, tenant: str, run_id: str, events: Sequence[RunEvent]) -> bool:
        """Add events, which are numbered in a row. False when the first one's number is taken."""
        ...

    def read(self, tenant: str, run_id: str) -> RunLogRead:
        """The newest snapshot and the events after it: two calls at most, however long the run."""
        ...

    def events(self, tenant: str, run_id: str, after: int, limit: int) -> list[RunEvent]:
        """Events after a number, in order; at least ``limit`` where there are so many."""
        ...

    def snapshot(self, state: RunState) -> None:
        """Keep the state as of its last event, unless a newer one is kept."""
        ...

    def summarize(self, summary: RunSummary, expected_rev: int) -> bool:
        """Replace a run's summary if its stored rev still is ``expected_rev``. Its own rev is higher."""
        ...

    def wake_by(self, tenant: str, run_id: str, wake_ms: int, kept_from_ms: int) -> None:
        """Have a run checked by then: an earlier instant stays, if it is not before ``kept_from_ms``. Raises the rev
        where the check moves."""
        ...

    def woken(self, until_ms: int, limit: int) -> list[WokenRun]:
        """Runs to check by an instant, of all tenants, the earliest first. May lag."""
        ...

    def load(self, tenant: str, run_id: str) -> RunSummary | None:
        """A run's summary."""
        ...

    def page(
        self, tenant: str, workflow: str | None, status: str | None, limit: int, after: str | None
    ) -> tuple[list[RunSummary], str | None]:
        """A tenant's runs, newest first, and where to go on (None: the end). A page may be short. May lag."""
        ...

    def slots(self, tenant: str, name: str) -> SlotTable | None:
        """Who has the slots of one key."""
        ...

    def save_slots(self, table: SlotTable, expected_rev: str) -> bool:
        """Write a table if its stored rev still is ``expected_rev`` (empty: if there is none). An empty one is
        deleted."""
        ...

    def purge(self, tenant: str, run_id: str) -> bool:
        """Delete a part of all that is kept of a run, its summary last. True once nothing is left."""
        ...

    def put_payload(self, tenant: str, run_id: str, name: str, content: bytes, expires_s: int | None = None) -> None:
        """Keep bytes under a name, until ``expires_s`` (unix seconds): the same again changes nothing."""
        ...

    def payloads(self, tenant: str, run_id: str, names: Sequence[str]) -> dict[str, bytes]:
        """Bytes that were kept, by name; what is not there is left out."""
        ...

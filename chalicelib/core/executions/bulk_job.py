"""A job that retries or cancels all executions that a filter finds, a slice at a time."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.executions.execution import CANCELLED, RETRY_REQUESTED, Execution, ExecutionState
from chalicelib.core.security.permissions import Permission

BulkAction = Literal["retry", "cancel"]
BulkState = Literal["running", "completed", "cancelled"]

BULK_MAX_MATCHED: Final = 10_000
BULK_SLICE: Final = 20  # executions between two writings of the job: what a death makes it do again, at most
BULK_RETENTION_S: Final = 7 * 86_400

PERMISSIONS: Final[dict[BulkAction, Permission]] = {"retry": "executions:retry", "cancel": "executions:cancel"}


class BulkJob(Struct, frozen=True, kw_only=True):
    """``state_wanted`` and the rest of the filter are as the caller gave them. ``to_ms`` is fixed: so the job ends.
    ``owner_only``: the one owner whose things its maker may change; None: every owner's. ``position`` is where the list
    goes on; None before the first slice."""

    tenant: str
    id: str
    rev: int = 1
    action: BulkAction
    subject: str
    owner_only: str | None
    schedule_id: str | None = None
    state_wanted: ExecutionState | None = None
    owner: str | None = None
    from_ms: int = 0
    to_ms: int
    matched: int
    done: int = 0
    failed: int = 0
    position: str | None = None
    state: BulkState = "running"
    created_ms: int

    @property
    def version(self) -> str:
        """What distinguishes two readings of one job."""
        return str(self.rev)

    def wants(self, execution: Execution) -> bool:
        """Whether the filter means an execution, in the state that it was in when the job was made."""
        return self.state_wanted in (None, execution.state) or self.was_done(execution)

    def was_done(self, execution: Execution) -> bool:
        """Whether it has had what this job does since the job was made: by a slice whose writer died, or another."""
        for step in reversed(execution.history):
            if step.at_ms < self.created_ms:
                return False
            if self.action == "retry" and step.reason == RETRY_REQUESTED:
                return self.state_wanted in (None, step.source)
            if self.action == "cancel" and step.target == CANCELLED:
                return self.state_wanted in (None, step.source)
        return False

    def after_slice(self, done: int, failed: int, position: str | None) -> BulkJob:
        """The job after a slice; it is completed when the list is at its end."""
        return replace(
            self,
            rev=self.rev + 1,
            done=self.done + done,
            failed=self.failed + failed,
            position=position,
            state="running" if position is not None else "completed",
        )

    def cancelled(self) -> BulkJob:
        """The job, stopped after the slice that is under way."""
        return replace(self, rev=self.rev + 1, state="cancelled")

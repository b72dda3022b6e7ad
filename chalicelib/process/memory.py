"""What one process remembers between calls. None of it is true for others: the tables are.

What every function needs is made with it. What only some need is imported and made at its first use, since each
function pays for its imports at a cold start.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from chalicelib.process.admission import Admission
from chalicelib.process.done_memory import DoneMemory
from chalicelib.process.handed_memory import HandedMemory
from chalicelib.process.limits import CHANGE_STREAMS_MAX, LEAK_REPORTS_PER_MINUTE, TICK_STREAMS_MAX
from chalicelib.process.meter import ProcessMeter
from chalicelib.process.permits import Permits
from chalicelib.process.queue_memory import QueueMemory
from chalicelib.process.recheck_latency import RecheckLatency
from chalicelib.process.shared_instants import SharedInstants
from chalicelib.process.span_memory import SpanMemory
from chalicelib.process.supervisors import Supervisors
from chalicelib.process.version_cache import VersionCache
from chalicelib.process.waiting_room import WaitingRoom

if TYPE_CHECKING:
    from chalicelib.process.audit_memory import AuditMemory
    from chalicelib.process.book_memory import BookMemory
    from chalicelib.process.change_tail import ChangeTails
    from chalicelib.process.clock_memory import ClockMemory
    from chalicelib.process.kept_values import KeptValues
    from chalicelib.process.key_memory import KeyMemory
    from chalicelib.process.lease_memory import LeaseMemory
    from chalicelib.process.minute_budget import MinuteBudget
    from chalicelib.process.numbers_memory import NumbersMemory
    from chalicelib.process.own_book import OwnBook
    from chalicelib.process.policy_memory import PolicyMemory
    from chalicelib.process.quota_memory import QuotaMemory
    from chalicelib.process.role_memory import RoleMemory
    from chalicelib.process.tenant_memory import TenantMemory
    from chalicelib.process.turn_memory import TurnMemory


class ProcessMemory(Struct, frozen=True, dict=True):
    """Each part holds its own lock. ``admission`` orders the calls to targets. ``waiting_room`` is where claims wait
    for their instants. ``held_calls``, ``tick_streams`` and ``change_streams`` bound the calls that are held open."""

    versions: VersionCache = field(default_factory=VersionCache)
    admission: Admission = field(default_factory=Admission)
    supervisors: Supervisors = field(default_factory=Supervisors)
    waiting_room: WaitingRoom[Any] = field(default_factory=WaitingRoom)
    shared_instants: SharedInstants[Any, Any] = field(default_factory=SharedInstants)
    recheck_latency: RecheckLatency = field(default_factory=RecheckLatency)
    held_calls: Permits = field(default_factory=Permits)
    tick_streams: Permits = field(default_factory=lambda: Permits(TICK_STREAMS_MAX))
    change_streams: Permits = field(default_factory=lambda: Permits(CHANGE_STREAMS_MAX))
    queues: QueueMemory = field(default_factory=QueueMemory)
    spans: SpanMemory = field(default_factory=SpanMemory)
    handed: HandedMemory = field(default_factory=HandedMemory)
    done: DoneMemory = field(default_factory=DoneMemory)
    meter: ProcessMeter = field(default_factory=ProcessMeter)

    @cached_property
    def leases(self) -> LeaseMemory:
        """What was written of leases."""
        from chalicelib.process.lease_memory import LeaseMemory

        return LeaseMemory()

    @cached_property
    def change_tails(self) -> ChangeTails:
        """The ends of the logs of changes."""
        from chalicelib.process.change_tail import ChangeTails

        return ChangeTails()

    @cached_property
    def task_numbers(self) -> NumbersMemory:
        """Numbers that take many reads to make."""
        from chalicelib.process.numbers_memory import NumbersMemory

        return NumbersMemory()

    @cached_property
    def tick_book(self) -> BookMemory:
        """The book of ticks, for those who follow it."""
        from chalicelib.process.book_memory import BookMemory

        return BookMemory()

    @cached_property
    def own_book(self) -> OwnBook:
        """The book of ticks, for those who write it."""
        from chalicelib.process.own_book import OwnBook

        return OwnBook()

    @cached_property
    def clock(self) -> ClockMemory:
        """What was seen of the clocks at the last minute."""
        from chalicelib.process.clock_memory import ClockMemory

        return ClockMemory()

    @cached_property
    def tenants(self) -> TenantMemory:
        """The tenants that are known."""
        from chalicelib.process.tenant_memory import TenantMemory

        return TenantMemory()

    @cached_property
    def turns(self) -> TurnMemory:
        """Works that one call was enough for."""
        from chalicelib.process.turn_memory import TurnMemory

        return TurnMemory()

    @cached_property
    def keys(self) -> KeyMemory:
        """API keys that were looked up."""
        from chalicelib.process.key_memory import KeyMemory

        return KeyMemory()

    @cached_property
    def leak_reports(self) -> MinuteBudget:
        """How many leaks of keys were reported within the minute."""
        from chalicelib.process.minute_budget import MinuteBudget

        return MinuteBudget(LEAK_REPORTS_PER_MINUTE)

    @cached_property
    def roles(self) -> RoleMemory:
        """The tenants' own roles."""
        from chalicelib.process.role_memory import RoleMemory

        return RoleMemory()

    @cached_property
    def policies(self) -> PolicyMemory:
        """The tenants' policies, compiled."""
        from chalicelib.process.policy_memory import PolicyMemory

        return PolicyMemory()

    @cached_property
    def quotas(self) -> QuotaMemory:
        """What may still be let through, by principal."""
        from chalicelib.process.quota_memory import QuotaMemory

        return QuotaMemory()

    @cached_property
    def audit(self) -> AuditMemory:
        """Where the tenants' audit chains end."""
        from chalicelib.process.audit_memory import AuditMemory

        return AuditMemory()

    @cached_property
    def workflows(self) -> KeptValues:
        """Versions of workflows."""
        from chalicelib.process.kept_values import KeptValues

        return KeptValues()

    @cached_property
    def outputs(self) -> KeptValues:
        """Values that lie beside logs of runs, by their hash."""
        from chalicelib.process.kept_values import KeptValues

        return KeptValues(16)

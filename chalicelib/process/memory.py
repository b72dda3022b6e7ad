"""What one process remembers between calls. None of it is true for others: the tables are."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from chalicelib.process.admission import Admission
from chalicelib.process.audit_memory import AuditMemory
from chalicelib.process.book_memory import BookMemory
from chalicelib.process.change_tail import ChangeTails
from chalicelib.process.clock_memory import ClockMemory
from chalicelib.process.done_memory import DoneMemory
from chalicelib.process.handed_memory import HandedMemory
from chalicelib.process.kept_values import KeptValues
from chalicelib.process.key_memory import KeyMemory
from chalicelib.process.lease_memory import LeaseMemory
from chalicelib.process.limits import CHANGE_STREAMS_MAX, LEAK_REPORTS_PER_MINUTE, TICK_STREAMS_MAX
from chalicelib.process.meter import ProcessMeter
from chalicelib.process.minute_budget import MinuteBudget
from chalicelib.process.numbers_memory import NumbersMemory
from chalicelib.process.permits import Permits
from chalicelib.process.policy_memory import PolicyMemory
from chalicelib.process.queue_memory import QueueMemory
from chalicelib.process.quota_memory import QuotaMemory
from chalicelib.process.recheck_latency import RecheckLatency
from chalicelib.process.role_memory import RoleMemory
from chalicelib.process.span_memory import SpanMemory
from chalicelib.process.tenant_memory import TenantMemory
from chalicelib.process.version_cache import VersionCache
from chalicelib.process.waiting_room import WaitingRoom


class ProcessMemory(Struct, frozen=True):
    """Each part holds its own lock. ``admission`` orders the calls to targets. ``held_calls``, ``tick_streams``
    and ``change_streams`` bound the calls that are held open."""

    versions: VersionCache = field(default_factory=VersionCache)
    leases: LeaseMemory = field(default_factory=LeaseMemory)
    admission: Admission = field(default_factory=Admission)
    waiting_room: WaitingRoom[Any] = field(default_factory=WaitingRoom)
    recheck_latency: RecheckLatency = field(default_factory=RecheckLatency)
    held_calls: Permits = field(default_factory=Permits)
    tick_streams: Permits = field(default_factory=lambda: Permits(TICK_STREAMS_MAX))
    change_streams: Permits = field(default_factory=lambda: Permits(CHANGE_STREAMS_MAX))
    change_tails: ChangeTails = field(default_factory=ChangeTails)
    task_numbers: NumbersMemory = field(default_factory=NumbersMemory)
    tick_book: BookMemory = field(default_factory=BookMemory)
    clock: ClockMemory = field(default_factory=ClockMemory)
    tenants: TenantMemory = field(default_factory=TenantMemory)
    keys: KeyMemory = field(default_factory=KeyMemory)
    leak_reports: MinuteBudget = field(default_factory=lambda: MinuteBudget(LEAK_REPORTS_PER_MINUTE))
    roles: RoleMemory = field(default_factory=RoleMemory)
    policies: PolicyMemory = field(default_factory=PolicyMemory)
    queues: QueueMemory = field(default_factory=QueueMemory)
    quotas: QuotaMemory = field(default_factory=QuotaMemory)
    audit: AuditMemory = field(default_factory=AuditMemory)
    spans: SpanMemory = field(default_factory=SpanMemory)
    handed: HandedMemory = field(default_factory=HandedMemory)
    done: DoneMemory = field(default_factory=DoneMemory)
    meter: ProcessMeter = field(default_factory=ProcessMeter)
    workflows: KeptValues = field(default_factory=KeptValues)
    outputs: KeptValues = field(default_factory=lambda: KeptValues(16))

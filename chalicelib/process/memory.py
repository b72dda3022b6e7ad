"""What one process remembers between calls. None of it is true for others: the tables are."""

from __future__ import annotations

from msgspec import Struct, field

from chalicelib.process.admission import Admission
from chalicelib.process.clock_memory import ClockMemory
from chalicelib.process.lease_memory import LeaseMemory
from chalicelib.process.limits import TICK_STREAMS_MAX
from chalicelib.process.permits import Permits
from chalicelib.process.span_memory import SpanMemory
from chalicelib.process.tenant_memory import TenantMemory
from chalicelib.process.version_cache import VersionCache


class ProcessMemory(Struct, frozen=True):
    """Each part holds its own lock. ``admission`` orders the calls to targets, ``dispatch_gate`` the groups of firings
    right before them; ``held_calls`` and ``tick_streams`` bound the calls that are held open."""

    versions: VersionCache = field(default_factory=VersionCache)
    leases: LeaseMemory = field(default_factory=LeaseMemory)
    admission: Admission = field(default_factory=Admission)
    dispatch_gate: Admission = field(default_factory=Admission)
    held_calls: Permits = field(default_factory=Permits)
    tick_streams: Permits = field(default_factory=lambda: Permits(TICK_STREAMS_MAX))
    clock: ClockMemory = field(default_factory=ClockMemory)
    tenants: TenantMemory = field(default_factory=TenantMemory)
    spans: SpanMemory = field(default_factory=SpanMemory)

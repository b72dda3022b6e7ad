"""How a deployment is doing, in numbers: what it holds, and how the executions of the last hour ended."""

from __future__ import annotations

from msgspec import Struct

from chalicelib.core.executions import traffic
from chalicelib.core.schedules.capacity import Used
from chalicelib.core.security.authorize import authorize
from chalicelib.core.security.caller import Caller
from chalicelib.engine import capacity, known_policies, scans, shards
from chalicelib.engine.tenants import known_tenants
from chalicelib.ports.services import Services

TAIL_MAX = 1_000  # executions counted one by one because no worker has counted them yet
FAILED_MAX = 10_000  # failures of one shard that are counted
EXACT_BELOW = 10_000  # above so many executions the youngest are left out: they no longer matter


class HealthNumbers(Struct, frozen=True):
    """``total`` and ``failed`` are of the last WINDOW_MS of ``core.executions.traffic``."""

    used: Used
    total: int
    failed: int

    @property
    def failure_ratio(self) -> float:
        return self.failed / self.total if self.total else 0.0


def unreadable_policies(s: Services, caller: Caller) -> int:
    """How many policies this process cannot read: the caller's tenant's, and those of others that it came to read.
    Raises Unavailable."""
    known_policies.recent(s, caller.tenant)
    return s.process.policies.unreadable()


def swept_at_ms(s: Services) -> list[int | None]:
    """When each shard was last swept; None for one that never was. One read of the tables. Raises Unavailable."""
    return shards.swept_at_ms(s)


def numbers(s: Services, caller: Caller) -> HealthNumbers:
    """The numbers as of now, of the whole deployment. Raises Forbidden, Unavailable."""
    authorize(caller, "health:read")
    now_ms = s.clock.now_ms()
    from_ms, every = now_ms - traffic.WINDOW_MS, range(s.config.shards)
    failed = s.stores.executions.ended_badly(every, from_ms, FAILED_MAX)
    return HealthNumbers(capacity.used(s), max(failed, _total(s, now_ms)), failed)


def _total(s: Services, now_ms: int) -> int:
    """What reconcile counted, and what came after its last run: of all tenants."""
    counted, tails = 0, dict[str, dict[int, int]]()
    for tenant in known_tenants(s):
        for first in range(0, s.config.shards, scans.GROUP):
            values = s.stores.cursors.load(scans.note_name(tenant, first // scans.GROUP)).values
            counted += traffic.total(values, now_ms)
            for shard in range(first, min(first + scans.GROUP, s.config.shards)):
                from_ms = max((scans.scanned_ms(values, shard) or 0) + 1, now_ms - traffic.WINDOW_MS)
                if from_ms <= now_ms:
                    tails.setdefault(tenant, {})[shard] = from_ms
    for tenant, shards_from_ms in tails.items():
        if counted >= EXACT_BELOW:
            return counted
        counted += s.stores.executions.count_recent(tenant, shards_from_ms, now_ms, TAIL_MAX)
    return counted

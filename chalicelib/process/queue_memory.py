"""The pauses of tenants' queues as this process read them last."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from chalicelib.core.queues.queue_state import QueueState

MEMORY_MAX_TENANTS = 1024


class QueueMemory:
    """A bounded map by tenant; safe to share between threads."""

    def __init__(self, max_tenants: int = MEMORY_MAX_TENANTS) -> None:
        self._kept: OrderedDict[str, tuple[int, QueueState]] = OrderedDict()
        self._max_tenants = max_tenants
        self._lock = Lock()

    def at_epoch(self, tenant: str, epoch: int) -> QueueState | None:
        """The state at this epoch; None: it was never read, or is another by now."""
        with self._lock:
            known_epoch, state = self._kept.get(tenant, (0, None))
            return state if known_epoch == epoch else None

    def keep(self, tenant: str, epoch: int, state: QueueState) -> None:
        with self._lock:
            self._kept[tenant] = (epoch, state)
            self._kept.move_to_end(tenant)
            if len(self._kept) > self._max_tenants:
                self._kept.popitem(last=False)

"""The tenants' policies as this process read them last, compiled, with what they said of definitions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # every worker holds the memory; those whose tenants have no policies need not load what rules are
    from chalicelib.core.rules.policy import CompiledPolicy
    from chalicelib.core.rules.ruling import Ruling

MEMORY_MAX_TENANTS = 256
VERDICTS_MAX = 4096  # of a tenant


class KnownPolicies:
    """A tenant's policies at one epoch. A definition never changes under its version, so a verdict on it is kept."""

    def __init__(self, epoch: int, policies: Sequence[CompiledPolicy], unreadable: int = 0) -> None:
        self.epoch = epoch
        self.unreadable = unreadable  # of them this release cannot read so many
        self.policies = policies
        self._verdicts: OrderedDict[str, Ruling] = OrderedDict()
        self._lock = Lock()

    def find_ruling(self, version: str, now_ms: int) -> Ruling | None:
        """What was said of a definition, while it holds."""
        with self._lock:
            found = self._verdicts.get(version)
            return found if found is not None and now_ms < found.until_ms else None

    def keep_ruling(self, version: str, ruling: Ruling) -> None:
        with self._lock:
            self._verdicts[version] = ruling
            self._verdicts.move_to_end(version)
            if len(self._verdicts) > VERDICTS_MAX:
                self._verdicts.popitem(last=False)


class PolicyMemory:
    """A bounded map by tenant; safe to share between threads."""

    def __init__(self, max_tenants: int = MEMORY_MAX_TENANTS) -> None:
        self._kept: OrderedDict[str, tuple[KnownPolicies, int]] = OrderedDict()
        self._max_tenants = max_tenants
        self._lock = Lock()

    def at_epoch(self, tenant: str, epoch: int) -> KnownPolicies | None:
        """The policies of this epoch, or None when they were never read, or are others by now."""
        with self._lock:
            known, _ = self._kept.get(tenant, (None, 0))
            return known if known is not None and known.epoch == epoch else None

    def recent(self, tenant: str, now_ms: int, age_max_ms: int) -> KnownPolicies | None:
        """What was read in the last ``age_max_ms``; None: nothing."""
        with self._lock:
            known, checked_ms = self._kept.get(tenant, (None, 0))
            return known if known is not None and 0 <= now_ms - checked_ms < age_max_ms else None

    def keep(self, tenant: str, known: KnownPolicies, checked_ms: int) -> None:
        with self._lock:
            self._kept[tenant] = (known, checked_ms)
            self._kept.move_to_end(tenant)
            if len(self._kept) > self._max_tenants:
                self._kept.popitem(last=False)

    def unreadable(self) -> int:
        """How many of the tenants' policies this process cannot read."""
        with self._lock:
            return sum(known.unreadable for known, _ in self._kept.values())

    def forget(self, tenant: str) -> None:
        with self._lock:
            self._kept.pop(tenant, None)

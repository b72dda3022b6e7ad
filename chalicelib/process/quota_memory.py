"""What this process may still let through, by principal: the tokens that it leased from the shared buckets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from msgspec import Struct, field

from chalicelib.core.quotas.allowance import Allowance, QuotaDecision, decide
from chalicelib.core.quotas.limits import PRINCIPALS_MAX
from chalicelib.core.quotas.shared_bucket import QuotaKey


class _Entry(Struct, eq=False):
    allowance: Allowance = Allowance()
    asking: Lock = field(default_factory=Lock)
    noted_us: int | None = None  # when a refusal was noted for those who watch


class QuotaMemory:
    """A bounded map, the idle ones dropped first: what they had leased is lost. Safe to share between threads."""

    def __init__(self, most: int = PRINCIPALS_MAX) -> None:
        self._lock = Lock()
        self._most = most
        self._entries: OrderedDict[QuotaKey, _Entry] = OrderedDict()

    def spend(self, key: QuotaKey, per_s: int, now_us: int) -> QuotaDecision:
        """Judge one call, and count it."""
        with self._lock:
            entry = self._entry(key)
            decision, entry.allowance = decide(entry.allowance, per_s, now_us)
            return decision

    def is_to_be_noted(self, key: QuotaKey, now_us: int, every_us: int) -> bool:
        """Whether a refusal is the first in so long; it counts as noted then."""
        with self._lock:
            entry = self._entry(key)
            if entry.noted_us is not None and now_us - entry.noted_us < every_us:
                return False
            entry.noted_us = now_us
            return True

    def asking(self, key: QuotaKey) -> Lock:
        """Held by the one thread that asks the bucket for this principal; the others wait for what it brings."""
        with self._lock:
            return self._entry(key).asking

    def allowance(self, key: QuotaKey) -> Allowance:
        with self._lock:
            return self._entry(key).allowance

    def change(self, key: QuotaKey, change: Callable[[Allowance], Allowance]) -> Allowance:
        """Replace the allowance, and answer with the new one."""
        with self._lock:
            entry = self._entry(key)
            entry.allowance = change(entry.allowance)
            return entry.allowance

    def _entry(self, key: QuotaKey) -> _Entry:
        found = self._entries.get(key)
        if found is None:
            found = self._entries[key] = _Entry()
            if len(self._entries) > self._most:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end(key)
        return found

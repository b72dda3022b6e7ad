"""Secrets as they were last read: one reading at a time for each reference, fresh for a minute, stale for ten more.

Signatures must go on while a store is away for minutes. A receiver can judge a signature with a key of ten minutes
ago, but not a missing one. After that a delivery fails, and is retried.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping

from chalicelib.core.secrets import secret_ref
from chalicelib.core.secrets.limits import FAILURE_S, FRESH_S, REFUSED_GAP_S, RETRY_S, STALE_S
from chalicelib.ports.secrets import SecretAway, SecretMissing, SecretStore

log = logging.getLogger(__name__)

REFS_MAX_COUNT = 1000


class _Entry:
    """What is known of one reference. ``lock`` is held by the one thread that reads its store."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.values: tuple[str, ...] | None = None
        self.read_s = 0.0  # when the values were read
        self.fresh_until_s = float("-inf")
        self.refused_s = float("-inf")  # when a target last refused the values
        self.failure: tuple[float, SecretMissing | SecretAway] | None = None

    def usable(self, now_s: float) -> tuple[str, ...] | None:
        """The values, fresh or stale; None when there are none or they are too old."""
        return self.values if now_s < self.read_s + FRESH_S + STALE_S else None


class KeptSecrets:
    """``Secrets`` over the stores of a deployment. A store is made when the first reference names it."""

    def __init__(self, stores: Mapping[str, Callable[[], SecretStore]], *, monotonic_s: Callable[[], float]) -> None:
        """``stores`` by the word that references begin with."""
        self._makers = dict(stores)
        self._stores: dict[str, SecretStore] = {}
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def values(self, ref: str) -> tuple[str, ...]:
        """The live values. Raises SecretMissing, SecretAway."""
        entry = self._entry(ref)
        now_s = self._monotonic_s()
        if entry.values is not None and now_s < entry.fresh_until_s:
            return entry.values
        stale = entry.usable(now_s)
        if not entry.lock.acquire(blocking=stale is None):
            assert stale is not None, "only who has something to go on with does not wait"
            return stale
        try:
            return self._fresh(ref, entry)
        finally:
            entry.lock.release()

    def refused(self, ref: str, values: tuple[str, ...]) -> bool:
        """Read anew because a target answered 401. A target that always does cannot make every delivery a reading."""
        entry = self._entry(ref)
        with entry.lock:
            now_s = self._monotonic_s()
            if entry.values is not None and entry.values != values:
                return True
            if now_s - entry.refused_s < REFUSED_GAP_S:
                return False
            entry.refused_s = now_s
            entry.fresh_until_s = float("-inf")
            try:
                return self._fresh(ref, entry) != values
            except (SecretMissing, SecretAway):
                return False

    def _fresh(self, ref: str, entry: _Entry) -> tuple[str, ...]:
        """Read, with the lock held, unless another thread has done so meanwhile."""
        now_s = self._monotonic_s()
        if entry.values is not None and now_s < entry.fresh_until_s:
            return entry.values
        if entry.failure is not None and now_s < entry.failure[0] and entry.values is None:
            raise entry.failure[1]
        try:
            values = self._read(ref)
        except SecretMissing as missing:
            entry.values = None
            entry.failure = (self._monotonic_s() + FAILURE_S, missing)
            raise
        except SecretAway as away:
            return self._stale(ref, entry, away)
        now_s = self._monotonic_s()
        entry.values, entry.read_s, entry.fresh_until_s, entry.failure = values, now_s, now_s + FRESH_S, None
        return values

    def _stale(self, ref: str, entry: _Entry, away: SecretAway) -> tuple[str, ...]:
        now_s = self._monotonic_s()
        stale = entry.usable(now_s)
        if stale is None:
            entry.values = None
            entry.failure = (now_s + FAILURE_S, away)
            raise away
        entry.fresh_until_s = now_s + RETRY_S
        log.warning("the store of %s is away; its secret of %.0f s ago serves: %s", ref, now_s - entry.read_s, away)
        return stale

    def _read(self, ref: str) -> tuple[str, ...]:
        try:
            parsed = secret_ref.parse(ref)
        except ValueError as error:
            raise SecretMissing(f"the reference {error}") from None
        values = self._store(parsed.store).read(parsed)
        if not values:
            raise SecretMissing(f"{ref} is empty")
        return values

    def _store(self, name: str) -> SecretStore:
        with self._lock:
            if name not in self._makers:
                raise SecretMissing(f"this deployment reads no {name}: secrets")
            if name not in self._stores:
                self._stores[name] = self._makers[name]()
            return self._stores[name]

    def _entry(self, ref: str) -> _Entry:
        with self._lock:
            entry = self._entries.get(ref)
            if entry is None:
                entry = self._entries[ref] = _Entry()
                if len(self._entries) > REFS_MAX_COUNT:
                    self._entries.popitem(last=False)
            else:
                self._entries.move_to_end(ref)
            return entry

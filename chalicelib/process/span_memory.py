"""Which firings this process has claimed and not yet seen recorded.

It spares a read. A span of claims leaves its schedule's state when all its firings have records. The process that made
the claim usually wrote those records too.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from chalicelib.core.schedules.claim_span import ClaimSpan
from chalicelib.core.schedules.schedule import Key

MEMORY_MAX_SCHEDULES = 8192


class SpanMemory:
    """A bounded map from schedules to their spans and the tokens without a record; safe to share between threads."""

    def __init__(self, max_schedules: int = MEMORY_MAX_SCHEDULES) -> None:
        self._open: OrderedDict[Key, dict[ClaimSpan, set[int]]] = OrderedDict()
        self._max_schedules = max_schedules
        self._lock = Lock()

    def begin(self, key: Key, span: ClaimSpan, settled: frozenset[ClaimSpan]) -> bool:
        """A claim was made, and ``settled`` were forgotten with it. False when another thread has begun this very span:
        both wrote the same, and one of them got no answer."""
        with self._lock:
            if span in self._open.get(key, {}):
                return False
            known = {each: tokens for each, tokens in self._open.pop(key, {}).items() if each not in settled}
            self._open[key] = {**known, span: set(range(span.token, span.token + span.size))}
            if len(self._open) > self._max_schedules:
                self._open.popitem(last=False)
            return True

    def recorded(self, key: Key, token: int) -> None:
        """The firing that was claimed under ``token`` has a record."""
        with self._lock:
            for tokens in self._open.get(key, {}).values():
                tokens.discard(token)

    def settled(self, key: Key) -> frozenset[ClaimSpan]:
        """The spans of which every firing has a record."""
        with self._lock:
            return frozenset(span for span, tokens in self._open.get(key, {}).items() if not tokens)

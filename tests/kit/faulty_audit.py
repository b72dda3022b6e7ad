"""A store of the audit in which any call may fail before or after it is done, or end its process."""

from __future__ import annotations

import random
from typing import Any

from chalicelib.core.errors import OutcomeUnknown, Unavailable

READS = frozenset({"newest", "oldest", "intents", "marks", "pseudonym"})


class Died(BaseException):
    """The end of a process."""


class FaultyAudit:
    """``store`` behind a bad line. ``kinds``: ``away``, ``unknown``, ``dies``; each as likely as the next, and a call
    that goes well three times as likely."""

    def __init__(self, store: Any, seed: int, *kinds: str) -> None:
        self._store = store
        self._random = random.Random(seed)
        self._kinds = kinds

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*args: Any) -> Any:
            fault = self._random.choice((*self._kinds, "", "", ""))
            first = self._random.random() < 0.5
            if fault == "away" or (fault == "unknown" and name in READS):
                raise Unavailable("away")
            if fault == "unknown" and first:
                raise OutcomeUnknown("not done")
            if fault == "dies" and first:
                raise Died
            answer = method(*args)
            if fault == "unknown":
                raise OutcomeUnknown("done")
            if fault == "dies":
                raise Died
            return answer

        return call

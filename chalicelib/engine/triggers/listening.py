"""Which triggers a worker has to listen for: those that are there, active, and of a source that brings nothing. And
what the worker says of their sources."""

from __future__ import annotations

import logging

from chalicelib.core.errors import ChronoError
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.triggers import listening
from chalicelib.core.triggers.listening import CHANGED_MS, RENEW_MS
from chalicelib.core.triggers.trigger import Trigger
from chalicelib.ports.services import Services

log = logging.getLogger(__name__)

Known = dict[Key, Trigger]


class Listened:
    """What was found last time is kept: a trigger is read again when its rev has changed."""

    def __init__(self, s: Services) -> None:
        self._s = s
        self._known: Known = {}

    def look(self) -> Known:
        """The triggers to listen for now. Raises Unavailable."""
        found: Known = {}
        for named in self._s.stores.triggers.listened():
            key = Key(named.tenant, named.id)
            before = self._known.get(key)
            if before is not None and before.rev >= named.rev:
                found[key] = before
            elif (loaded := self._s.stores.triggers.load(*key)) is not None:
                found[key] = loaded
        self._known = found
        schedules = self._s.stores.schedules.get(list(found)) if found else {}
        return {k: trigger for k, trigger in found.items() if k in schedules and schedules[k].definition.active}

    def exists(self, key: Key) -> bool:
        """Whether a trigger was there at the last look, active or not."""
        return key in self._known


class SourceReport:
    """What one worker says of one source. It says at once what is news, and the rest seldom."""

    def __init__(self, s: Services, trigger: Trigger) -> None:
        self._s = s
        self._trigger = trigger
        self._said: str | None = None
        self._is_written = False
        self._said_ms: int | None = None

    def hears(self) -> None:
        """The worker reads the source."""
        self._say(None)

    def fails(self, problem: str) -> None:
        """The worker cannot read it."""
        self._say(problem)

    def _say(self, problem: str | None) -> None:
        now_ms = self._s.clock.now_ms()
        if self._said_ms is not None and abs(now_ms - self._said_ms) < self._quiet_ms(problem):
            return
        self._said, self._said_ms = problem, now_ms
        self._is_written = False
        try:
            self._write(problem, now_ms)
            self._is_written = True
        except ChronoError as away:  # the source is read all the same
            log.warning("what is known of the source of trigger %s is not written: %s", self._trigger.id, away.detail)

    def _quiet_ms(self, problem: str | None) -> int:
        """For how long after its last word there is no need for this one."""
        if self._is_written and problem == self._said:
            return RENEW_MS
        is_turn = (problem is None) != (self._said is None)
        return 0 if is_turn else CHANGED_MS

    def _write(self, problem: str | None, now_ms: int) -> None:
        s, trigger = self._s, self._trigger
        before = s.stores.triggers.listenings(trigger.tenant, [trigger.id]).get(trigger.id)
        after = listening.reported(before, trigger, s.config.instance, problem, now_ms)
        if after is not None:  # another worker that was first has said as much
            s.stores.triggers.save_listening(after, 0 if before is None else before.rev)


def is_needed(s: Services) -> bool:
    """Whether there is anything to listen for. Raises Unavailable."""
    return bool(s.stores.triggers.listened())

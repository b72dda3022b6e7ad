"""What the end of an execution sets off: the next run of a DELAY schedule, the run that waits, a pause after failures.

All are hints after the fact. Should a process die before it gives them, reconcile finds the DELAY schedule's ended run.
The waiting execution checks by itself after a while, and the feed judges every failure again.
"""

from __future__ import annotations

from chalicelib.core.executions.execution import Execution
from chalicelib.core.policies import overlap
from chalicelib.core.queue_messages import Run
from chalicelib.core.schedules.schedule import Definition, Key
from chalicelib.engine.delay_runs import chain
from chalicelib.engine.failures import judge_promptly
from chalicelib.engine.handoff import enqueue
from chalicelib.ports.services import Services


def follow(s: Services, ended: Execution, definition: Definition | None, just_now: bool = True) -> None:
    """Set off what follows ``ended``; does nothing while it is open. Idempotent. ``definition`` None: it is unknown.

    ``just_now``: the caller has ended it. What ended earlier is left to the feed to judge. The feed emits the event of
    a pause as it reads the failures, and would emit none for a pause that came after that.
    """
    if ended.is_open:
        return
    if definition is None or definition.type == "DELAY":
        chain(s, ended)
    if definition is None or definition.overlap == "queue":
        wake(s, ended.key_of_schedule)
    if definition is not None and just_now:
        judge_promptly(s, ended, definition)


def wake(s: Services, key: Key) -> None:
    """Queue the execution that waits for the slot, if there is one and the slot is free or has been left to it."""
    state = s.stores.schedules.states([key]).get(key)
    if state is None or state.waiting is None:
        return
    records = s.stores.executions.get(list(dict.fromkeys(overlap.refs(state))))
    waiting = records.get(overlap.key_of(state, state.waiting))
    running = None if state.running is None else records.get(overlap.key_of(state, state.running))
    if running is not None and running.waits:
        waiting = running  # a newcomer found the slot free and left it to this one, which has yet to be woken
    if waiting is None or not waiting.waits or (running is not None and running.is_open and running != waiting):
        return
    enqueue(s, [Run(waiting.key, waiting.attempt + 1, s.clock.now_ms())])

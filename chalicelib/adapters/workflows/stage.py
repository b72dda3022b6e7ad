"""The stage on which runs are rehearsed: stores in memory, time that passes by itself, and nothing outside."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.memory.machine import CountingIds, ManualClock, ManualSignals
from chalicelib.adapters.memory.stores import open_stores
from chalicelib.adapters.memory.virtual_time import VirtualTime
from chalicelib.core.queue_messages import RunHint
from chalicelib.core.security.caller import DEFAULT_TENANT
from chalicelib.core.workflows.run_state import RunEvent
from chalicelib.ports.services import Config, Machine, Services, assemble
from chalicelib.ports.target import Delivery, Outcome, Target
from chalicelib.ports.work_queue import Outgoing
from chalicelib.ports.workflow_steps import Cast, Expressions, HttpRequest, Mail, Scripts, StepFailed, WorkflowParts

MAIL_TIMEOUT_MS = 30_000
FIRST_ERROR, FIRST_OF_SERVER = 400, 500


class MemoryStage:
    """``Stage``. Expressions and scripts are the real ones: they reach nothing."""

    def __init__(self, expressions: Expressions, scripts: Scripts, cast: Cast, now_ms: int) -> None:
        self._time = time = VirtualTime(now_ms)
        clock: Any = time
        signals = ManualSignals(ManualClock(now_ms))
        machine = Machine(clock, CountingIds(clock), time, signals)
        stores = open_stores()
        stores = replace(stores, runs=_ToldRuns(stores.runs, cast))
        queue: Any = _StageQueue(time, cast)
        targets: Mapping[str, Target] = defaultdict(lambda: _StageTarget(cast))
        parts = WorkflowParts(queue, expressions, cast, scripts, mailer=_StageMailer(cast))
        self.services: Services = assemble(
            Config(instance="stage", origin="rehearsal"), machine, stores, queue, targets, workflows=parts
        )

    def next_ms(self) -> int | None:
        """When the next job goes on; None: there is none."""
        return self._time.next_ms()

    def run_next(self) -> None:
        """Let it go on, until it waits or ends."""
        self._time.run_next()

    def close(self) -> None:
        """End what still waits."""
        self._time.close()


class _StageQueue:
    """Messages are jobs of the stage's time."""

    def __init__(self, time: VirtualTime, cast: Cast) -> None:
        self._time = time
        self._cast = cast

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Queue hints."""
        for outgoing in messages:
            assert isinstance(outgoing.message, RunHint)
            self._time.after(outgoing.delay_s * 1000, partial(self._cast.take, outgoing.message))


class _StageTarget:
    """Any kind of target: the cast answers."""

    max_batch = 1

    def __init__(self, cast: Cast) -> None:
        self._cast = cast

    def prepare(self, delivery: Delivery) -> None:
        """Nothing to prepare."""

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Hand it to the cast."""
        return [self._cast.dispatch(delivery) for delivery in deliveries]

    def cancel(self, execution_id: str, attempt: int) -> bool:
        """Nothing is held open."""
        return False


class _ToldRuns:
    """``RunStore`` that hands what is appended to the cast as well."""

    def __init__(self, inner: Any, cast: Cast) -> None:
        self._inner = inner
        self._cast = cast

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def append(self, tenant: str, run_id: str, events: Sequence[RunEvent]) -> bool:
        """Add events, which are numbered in a row."""
        won: bool = self._inner.append(tenant, run_id, events)
        if won:
            self._cast.appended(run_id, events)
        return won


class _StageMailer:
    """The cast takes an e-mail as it takes a call: to ``mailto:`` and who gets it."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast

    def send(self, mail: Mail) -> str:
        """As the port says."""
        content = json.dumps({"from": mail.sender, "subject": mail.subject, "text": mail.text}).encode()
        url = "mailto:" + ",".join(mail.to)
        reply = self._cast.call(HttpRequest(mail.key, DEFAULT_TENANT, 1, "POST", url, {}, content, MAIL_TIMEOUT_MS, ""))
        if reply.status >= FIRST_ERROR:
            raise StepFailed(
                "rejected", f"the e-mail was answered {reply.status}", retryable=reply.status >= FIRST_OF_SERVER
            )
        return f"rehearsed-{mail.key}"

"""The minute rules of a process that stays: it owns shards as a node, and works on each once a minute. Shards that are
due together are one piece of work, which then needs fewer calls.

A shard that comes to this node is worked on at once: its last node may have died before its turn.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from chalicelib.core.errors import ChronoError
from chalicelib.engine.shards import HeldShard
from chalicelib.ports.services import Services
from chalicelib.workers.cluster.ownership import Node, TooManyNodes
from localdev.backoff import Backoff

PERIOD_S = 60.0
LOOK_S = 1.0  # how long a stop or a shard goes unnoticed at the most while this node has none
TOGETHER_S = 5.0  # a shard is worked on so much early, to be in one piece with others

_log = logging.getLogger(__name__)

Work = Callable[[Services, Iterator[HeldShard]], None]


class ShardRules:
    """Keeps a node alive, and runs each kind of work over the node's shards on a thread of its own."""

    def __init__(
        self,
        services: Callable[[], Services],
        works: Mapping[str, Work],
        before_each_minute: Callable[[Services], None],
        stopping: threading.Event,
    ) -> None:
        """``works`` by the name that its shards are held under."""
        self._services = services
        self._works = works
        self._before_each_minute = before_each_minute
        self._stopping = stopping
        self._node = Node(tuple(works), {"role": "worker"})
        self._changed = {name: threading.Event() for name in works}

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._keep, name="node", daemon=True).start()
        for name, work in self._works.items():
            threading.Thread(target=self._run, args=(name, work), name=f"rule-{name}", daemon=True).start()

    def owns(self, work: str, shard: int) -> bool:
        """Whether this node has a shard. One node has it at a time, but for moments in which another takes it over."""
        return shard in self._node.owned(self._services(), work)

    def leave(self) -> None:
        """Let others have the shards at once."""
        try:
            self._node.leave(self._services())
        except ChronoError as problem:
            _log.warning("the shards are free only when this node's lease expires: %s", problem)

    def _keep(self) -> None:
        backoff = Backoff("keeping this node's shards", _log, self._stopping)
        prepared = -PERIOD_S
        while not self._stopping.is_set():
            try:
                s = self._services()
                before = {name: self._node.owned(s, name) for name in self._works}
                again_ms = self._node.tick(s)
            except (ChronoError, TooManyNodes) as problem:
                backoff.failed(problem)
                continue
            backoff.succeeded()
            for name, event in self._changed.items():
                if self._node.owned(s, name) != before[name]:
                    event.set()
            if time.monotonic() - prepared >= PERIOD_S:
                prepared = time.monotonic()
                threading.Thread(target=self._prepare_safely, args=(s,), name="minute", daemon=True).start()
            self._stopping.wait(max(0, again_ms - s.clock.now_ms()) / 1000)

    def _prepare_safely(self, s: Services) -> None:
        try:
            self._before_each_minute(s)
        except Exception:
            _log.exception("the work before each minute failed")

    def _run(self, name: str, work: Work) -> None:
        done: dict[HeldShard, float] = {}
        while not self._stopping.is_set():
            s = self._services()
            held = [HeldShard(shard, token) for shard, token in self._node.owned(s, name).items()]
            done = {each: at for each, at in done.items() if each in held}
            now = time.monotonic()
            first = min((done.get(each, now - PERIOD_S) for each in held), default=now) + PERIOD_S
            if first > now:
                # A shard that comes to this node says so; none has to be looked for.
                self._changed[name].wait(min(LOOK_S, first - now) if not held else first - now)
                self._changed[name].clear()
                continue
            self._work_safely(name, work, s, self._due(name, held, done))

    def _due(self, name: str, held: list[HeldShard], done: dict[HeldShard, float]) -> Iterator[HeldShard]:
        """Those of ``held`` whose time has come or comes in a moment, as long as they are this node's."""
        for each in held:
            if self._stopping.is_set():
                return
            due = time.monotonic() - done.get(each, -PERIOD_S) >= PERIOD_S - TOGETHER_S
            if due and self._node.owned(self._services(), name).get(each.shard) == each.fencing_token:
                done[each] = time.monotonic()
                yield each

    def _work_safely(self, name: str, work: Work, s: Services, due: Iterator[HeldShard]) -> None:
        try:
            work(s, due)
        except Exception:  # those that were not reached are given again
            _log.exception("%s failed", name)

"""``kill -9`` at random moments on the servers and workers of two deployments over one emulator, for a minute, while
callers change everything: then the simulation's checkers judge what the tables were told.

``CHRONO_KILLS_SEED`` plays another plan, ``CHRONO_KILLS_S`` for longer. What the plan meets is up to the machine.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple
from zlib import crc32

import pytest

from chalicelib.core import ulid
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.schedules.schedule import Definition, Key, State
from localdev.processes import PidFile
from tests.e2e.bus import BusEar
from tests.e2e.busy import StallMeter
from tests.e2e.callers import Callers, settle_answers
from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.journal import Journal, Sent
from tests.e2e.scripted import Call, Script, Scripted
from tests.simulation import checkers
from tests.simulation.actors.targets import TEMPERS
from tests.simulation.checkers import doubts, failover, hidden, history, notices, paced, ruled, silences, traffic, waits
from tests.simulation.world import Record, Told

SEED = int(os.environ.get("CHRONO_KILLS_SEED", "0"))
ACTIVE_S = float(os.environ.get("CHRONO_KILLS_S", "60"))
# What a killed worker had received stays hidden for a minute; a dead attempt's lease is found by the minute rule.
HIDDEN_S = 75.0
ACTIVE_MOST_S = 2 * ACTIVE_S  # where starts take so long that the plan's kills do not fit into its time
KILLS = ACTIVE_S / 10
REST_MOST_S = 240.0
SCHEDULES = 14
FIRING = "chronowatch.firings.v1"
DRIFT_MS = 20  # CHRONO_MAX_DRIFT_MS by default
BOOT_MOST_MS = 15_000  # from a process's start to its first instant as an instance

# All but those that need what no table holds (what a process believed, had read and sent), or a world that is calm, or
# one in which nothing but deaths befalls, or one that has policies.
LEFT_OUT = (failover, ruled, silences, traffic, doubts, notices, paced, waits, hidden)
CHECKERS = tuple(checker for checker in checkers.FIRINGS if checker not in LEFT_OUT)

EXPRESSIONS = (
    {"type": "RATE", "expr": "rate:1s"},
    {"type": "RATE", "expr": "rate:2s"},
    {"type": "DELAY", "expr": "delay:1s"},
    {"type": "DELAY", "expr": "delay:2s"},
    {"type": "CRON", "expr": "*/3 * * * * *"},
    {"type": "ISO8601", "expr": "PT2S"},
    {"type": "AT"},
)


class Lifetime(NamedTuple):
    """A worker's process, from its start to its end by ``kill -9``."""

    started_ms: float
    killed_ms: float


class Killer:
    """Kills, and remembers whom."""

    def __init__(self, servers: Sequence[DevServer], r: random.Random, stalls: StallMeter) -> None:
        self.workers: list[Lifetime] = []
        self.story: list[tuple[float, str]] = []
        self._servers = servers
        self._stalls = stalls
        self._random = r

    def strike(self) -> None:
        """One kill, or everything of one deployment but the emulator, which is then started again."""
        number = self._random.randrange(len(self._servers))
        server = self._servers[number]
        whom = self._random.choice(("worker", "worker", "worker", "server", "server", "all"))
        self.story.append((time.time() * 1000, f"kill -9 {whom} of {number}"))
        started_ms = self._started_ms(server)
        if whom == "all":
            server.kill_all()
        elif not self._kill(server, whom):
            return  # it is dead already
        if whom != "server" and started_ms is not None:
            self.workers.append(Lifetime(started_ms, time.time() * 1000))
        if whom == "all":
            server.start()

    def _started_ms(self, server: DevServer) -> float | None:
        try:
            return (server.data_dir / "run" / "worker.pid").stat().st_mtime * 1000
        except FileNotFoundError:
            return None

    def _kill(self, server: DevServer, name: str) -> bool:
        pid = PidFile(server.data_dir / "run" / f"{name}.pid", "localdev.").living()
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return True

    def is_alive(self, instance: str, at_ms: int) -> bool:
        """Whether a worker certainly lived at a millisecond, by when its instance was named."""
        born_ms = 0
        for digit in instance[:10]:
            born_ms = born_ms * 32 + ulid.ALPHABET.index(digit)
        return not any(
            life.started_ms <= born_ms <= min(life.killed_ms, self._booted_ms(life)) and life.killed_ms <= at_ms
            for life in self.workers
        )

    def _booted_ms(self, life: Lifetime) -> float:
        by_ms = life.started_ms + BOOT_MOST_MS
        return by_ms + self._stalls.stalled_ms(life.started_ms, by_ms)


class World:
    """Everything around the servers of one test, and what came of it."""

    def __init__(
        self, servers: Sequence[DevServer], new_hook: Callable[[Script], Scripted], seed: int, stalls: StallMeter
    ) -> None:
        self.random = random.Random(f"kills/{seed}")
        self.killer = Killer(servers, self.random, stalls)
        self.callers = Callers(servers, seed)
        self.hook = new_hook(self._answer)
        self.journal = Journal(servers[0].endpoint, stalls)
        self._firings, *self._notices = (
            BusEar(servers[0].endpoint, f"chronowatch.{kind}.v1") for kind in ("firings", "sla", "alert")
        )
        self._seed = seed
        self._resting_ms: int | None = None
        self._paused: set[str] = set()

    def close(self) -> None:
        """End what runs in this process."""
        self.callers.close()
        for ear in (self._firings, *self._notices):
            ear.close()
        self.journal.close()

    # -- the plan

    def schedule(self) -> dict[str, object]:
        """The body of a schedule."""
        r = self.random
        body: dict[str, object] = dict(r.choice(EXPRESSIONS))
        if body["type"] == "AT":
            body["expr"] = f"at:{to_rfc3339(int(time.time() * 1000) + r.randrange(4_000, int(ACTIVE_S * 1000)))}"
        elif r.random() < 0.4:
            body["max_runs"] = r.choice((3, 8, 20))
        if r.random() < 0.5:
            body["catch_up_window_ms"] = r.choice((0, 5_000, 600_000))
        if r.random() < 0.4:
            body["overlap"] = r.choice(("forbid", "replace", "queue"))
        if r.random() < 0.2:
            body["jitter_ms"] = 700
        if r.random() < 0.2:
            body["pause_after_failures"] = 3
        body["timeout_ms"] = 4_000
        body["retry_policy"] = {"max_attempts": 3, "backoff": "fixed", "base_ms": 300, "max_ms": 300, "jitter": False}
        temper = r.choice(("good", "good", "slow", "flaky", "mute", "async", "mixed", "bus"))
        bus = {"type": "eventbridge"}
        body["target"] = bus if temper == "bus" else {"type": "webhook", "url": f"{self.hook.url}{temper}"}
        return body

    def _answer(self, call: Call) -> tuple[int, float, dict[str, str]]:
        """As the simulation's targets do, by the temper in the path and the attempt."""
        if call.event["type"] != FIRING:
            return 204, 0.0, {}  # the notice of a cancel
        tempers = TEMPERS[call.path.strip("/")]
        event_id, attempt = str(call.event["id"]), call.event["attempt"]
        draw = crc32(f"{self._seed}/{event_id}/{attempt}".encode())
        kind = "ok" if self._resting_ms is not None else tempers[draw % len(tempers)]
        if kind.startswith("accept"):
            for number, what in enumerate(_reports(kind)):
                self.callers.report(what, event_id, 0.1 + draw % 1_500 / 1000 + number)
            return 202, 0.0, {"X-Chrono-Async": "true"}
        waits = {"slow": 0.1 + draw % 1_500 / 1000, "very_slow": 3.0, "hang": 60.0}
        statuses = {"error": 500, "later": 503, "refused": 400, "gone": 410}
        return statuses.get(kind, 200), waits.get(kind, 0.0), {"Retry-After": "2"} if kind == "later" else {}

    def play(self) -> None:
        """The minute itself, and more of it until there were kills enough."""
        began = time.monotonic()
        for _ in range(SCHEDULES):
            self.callers.create(self.schedule())
        next_kill, next_act = 6.0, 1.0
        while (now := time.monotonic() - began) < ACTIVE_S or (len(self.killer.story) < KILLS and now < ACTIVE_MOST_S):
            if now >= next_kill:
                self.killer.strike()
                next_kill = time.monotonic() - began + self.random.uniform(1.5, 6.0)
            elif now >= next_act:
                self.callers.act()
                next_act = now + self.random.uniform(0.1, 1.0)
            else:
                time.sleep(0.02)

    # -- coming to rest

    def rest(self, servers: Sequence[DevServer]) -> list[str]:
        """Let everything come to rest; what the checkers find then."""
        self._resting_ms = int(time.time() * 1000)
        for server in servers:
            wait_for("everybody to be healthy", lambda server=server: _is_healthy(server), 60)  # type: ignore[misc]
        until = time.monotonic() + REST_MOST_S
        while True:
            record = self.look()
            is_quiet = self._is_quiet(record)  # closes what has shown that it lives
            if is_quiet:
                until = min(until, time.monotonic() + HIDDEN_S)
            is_late = time.monotonic() > until
            problems = self._judged(record) if is_quiet or is_late else []
            if (is_quiet and not problems) or is_late:
                return problems
            time.sleep(1)

    def look(self) -> Record:
        """Everything up to now."""
        self.journal.caught_up()
        sent = [Sent(int(c.at_ms), c.event, c.path) for c in list(self.hook.calls) if c.event["type"] == FIRING]
        sent += [Sent(a.at_ms, a.detail, "bus") for a in self._firings.heard()]
        heard = [arrival for ear in self._notices for arrival in ear.heard()]
        told = [Told(a.at_ms, a.detail["id"], a.detail["type"], a.detail["subject"]) for a in heard]
        return self.journal.record(sorted(sent, key=lambda s: s.at_ms), told, self.killer.is_alive)

    def _is_quiet(self, record: Record) -> bool:
        """Whether nothing is open and no schedule goes on; one that has shown that it lives is paused here."""
        going_on = [key for key, writes in record.schedules.items() if self._goes_on(record, key, writes[-1].state)]
        for key in going_on:
            if key.id not in self._paused and self._lives(record, key) and self.callers.change("pause", key.id):
                self._paused.add(key.id)
        return not going_on and not any(writes[-1].record.is_open for writes in record.executions.values())

    def _goes_on(self, record: Record, key: Key, state: State) -> bool:
        if state.status != "active" or not state.current.active:
            return False
        definition: Definition = history.current_definition(record.schedules[key])
        if state.next_run_ms is not None or definition.type == "DELAY":
            return state.next_run_ms is not None or state.queued_ms is not None
        return state.queued_ms is not None and state.queued_ms > time.time() * 1000

    def _lives(self, record: Record, key: Key) -> bool:
        assert self._resting_ms is not None
        return any(
            k.schedule_id == key.id
            and k.firing_ms > self._resting_ms
            and not writes[0].record.requested
            and not writes[-1].record.is_open
            for k, writes in record.executions.items()
        )

    def _judged(self, record: Record) -> list[str]:
        for key, writes in record.schedules.items():
            if self._goes_on(record, key, writes[-1].state):
                record.stalled.append(f"{key.id} has nothing to show since {self._resting_ms}: {writes[-1].state}")
        problems = settle_answers(record, self.callers.operations)
        faults = SimpleNamespace(wrong_most_ms=0)
        now_ms = int(time.time() * 1000)
        world = SimpleNamespace(
            record=record, now=now_ms, faults=faults, hits={}, hit=lambda _point: None, over=True
        )  # coverage is the simulator's
        play = SimpleNamespace(
            world=world,
            faults=faults,
            scenario=SimpleNamespace(calm=False, max_drift_ms=DRIFT_MS),
            stream=SimpleNamespace(is_drained=True, done=[]),
        )
        return problems + checkers.judge(play, CHECKERS)

    def story(self, record: Record, problems: Sequence[str]) -> str:
        """What broke, and all that befell the schedules that it names."""
        lines: list[tuple[float, str]] = list(self.killer.story)
        named = [key for key in record.schedules if any(key.id in problem for problem in problems)][:3]
        for key in named:
            lines += [(w.at_ms, f"{w.kind} {w.definition or ''} {w.state}") for w in record.schedules[key]]
            lines += [(o.started_ms, f"{o.kind} of {o.schedule.id}: {o.outcome} {o.error}")
                      for o in self.callers.operations if o.schedule == key]  # fmt: skip
            lines += [
                (w.at_ms, f"stored {k.id} rev {w.record.rev} {w.record.state} attempt {w.record.attempt} "
                          f"token {w.record.fencing_token} by {w.record.claimed_by} until {w.record.lease_until_ms}")
                for k, writes in record.executions.items() if k.schedule_id == key.id for w in writes
            ]  # fmt: skip
            lines += [(d.started_ms, f"SENT {d.key.id} attempt {d.attempt} token {d.token}")
                      for d in record.dispatches if d.key.schedule_id == key.id]  # fmt: skip
        return "\n".join(["", *problems[:20], "", *(f"{at_ms:.0f} {text}" for at_ms, text in sorted(lines))])


def _reports(kind: str) -> tuple[str, ...]:
    return {"accept_complete": ("complete",), "accept_fail": ("fail",), "accept_beat": ("heartbeat", "complete")}.get(
        kind, ()
    )


def _is_healthy(server: DevServer) -> bool:
    try:
        return server.call("GET", "/health")[0] == 200
    except (OSError, ValueError):
        return False


@pytest.fixture
def servers(new_server: Callable[..., DevServer], aws: str) -> list[DevServer]:
    """Two deployments over one emulator."""
    made = [new_server(env={"AWS_ENDPOINT_URL": aws}) for _ in range(2)]
    for server in made:
        server.start()
    return made


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(ACTIVE_MOST_S + REST_MOST_S + 180)
def test_the_journal_stands_up_to_the_checkers_whoever_is_killed(
    servers: list[DevServer], scripted: Callable[[Script], Scripted], stalls: StallMeter
) -> None:
    world = World(servers, scripted, SEED, stalls)
    try:
        world.play()
        problems = world.rest(servers)
        record = world.look()
    finally:
        world.close()
    assert not problems, world.story(record, problems)
    print(counted(record, world))
    assert len(world.killer.story) >= KILLS
    assert len(record.schedules) == SCHEDULES == len(world.callers.schedules)  # each key made one, however often asked
    assert record.takeovers


def counted(record: Record, world: World) -> Mapping[str, Any]:
    """How much there was to judge."""
    return {
        "kills": len(world.killer.story),
        "executions": len(record.executions),
        "writes": sum(map(len, record.executions.values())) + sum(map(len, record.schedules.values())),
        "sent": len(record.dispatches),
        "operations": len(world.callers.operations),
        "taken over": len(record.takeovers),
        "told": len(record.told),
    }

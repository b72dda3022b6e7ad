"""Two releases over the same tables and messages, as while a deployment is upgraded or rolled back: nothing is lost.

The other release is a commit. Its workers run in a process of their own, from its own tree.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from chalicelib.adapters.aws.clients import Clients
from chalicelib.adapters.dynamodb.stores import open_stores
from chalicelib.core.queue_messages import encode
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.security.caller import system_caller
from chalicelib.ports.work_queue import Outgoing, WorkQueue
from chalicelib.usecases import schedules
from infra.create import create_all, delete_tables
from infra.state import state
from tests.kit.emulator import REGION, running_emulator
from tests.kit.machine import NOW_MS, MovableClock, manual_machine
from tests.kit.services import make_services
from tests.tidy.sources import ROOT

pytestmark = [pytest.mark.emulator, pytest.mark.slow]

# The release before this one, by its commit: set it anew with each release that is deployed.
BEFORE = "2e2452c"
SECONDS = 600
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with running_emulator() as found:
        yield found


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the release before this one."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", BEFORE, "chalicelib", "infra", "tests/kit"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if packed.returncode != 0:
        pytest.skip(f"commit {BEFORE} is not in this clone: two releases were not run side by side")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


class Worker:
    """The workers of one release."""

    def __init__(self, tree: Path, endpoint: str, stage: str) -> None:
        command = [sys.executable, str(HERE / "driver.py"), str(tree), endpoint, stage]
        self._process = subprocess.Popen(
            command, cwd=tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(tree)}
        )
        self.ask({"at": NOW_MS})

    def ask(self, second: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(second) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the workers ended with {self._process.wait(60)}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


class _Queued:
    """A queue that says what was queued."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []

    def send(self, messages: Sequence[Outgoing]) -> None:
        self.sent += messages


def upgrade(second: int) -> tuple[str, ...]:
    """Who works in a second: the old release, then both, then the new one."""
    return ("old",) if second < 200 else ("old", "new") if second < 400 else ("new",)


def roll_back(second: int) -> tuple[str, ...]:
    return ("new",) if second < 200 else ("new", "old") if second < 400 else ("old",)


@pytest.mark.parametrize("plan", [upgrade, roll_back])
def test_a_switch_loses_no_firing_and_doubles_none(
    plan: Callable[[int], tuple[str, ...]], before: Path, endpoint: str
) -> None:
    mine = state(f"skew-{uuid.uuid4().hex[:8]}", event_bus="default")
    clients = Clients(REGION, endpoint)
    create_all(clients.get("dynamodb"), clients.get("sqs"), clients.get("events"), mine)
    workers = {"old": Worker(before, endpoint, mine.stage), "new": Worker(ROOT, endpoint, mine.stage)}
    try:
        _play(plan, workers, clients, mine.stage)
    finally:
        for worker in workers.values():
            worker.close()
        delete_tables(clients.get("dynamodb"), mine)


def _play(plan: Callable[[int], tuple[str, ...]], workers: dict[str, Worker], clients: Clients, stage: str) -> None:
    clock = MovableClock(NOW_MS)
    queue = _Queued()
    s = replace(
        make_services(manual_machine(clock), open_stores(clients.factory("dynamodb"), stage)),
        queue=cast(WorkQueue, queue),
    )
    caller = system_caller("default")
    beats = {}
    for period in (7, 11, 60):
        wanted = ScheduleRequest(type="RATE", expr=f"rate:{period}s", target={"type": "log"}, max_runs=500)
        made = schedules.create(s, caller, wanted, s.ids.ulid(clock.now_ms()))
        beats[made.definition.id] = made.definition.created_at_ms + 1000 * period, period
    waiting = [(NOW_MS + 1000 * each.delay_s, encode(each.message)) for each in queue.sent]
    fired: Counter[tuple[str, int]] = Counter()
    tokens: dict[str, list[int]] = {schedule_id: [] for schedule_id in beats}
    for second in range(1, SECONDS):
        at_ms = NOW_MS + 1000 * second
        arrived = [body for due_ms, body in waiting if due_ms <= at_ms]
        waiting = [each for each in waiting if each[0] > at_ms]
        names = plan(second)
        for place, name in enumerate(names):
            rule = second % 60 == 1 and (second // 60) % len(names) == place
            answer = workers[name].ask({"at": at_ms, "messages": arrived[place :: len(names)], "rule": rule})
            waiting += [(at_ms + 1000 * delay_s, body) for body, delay_s in answer["sent"]]
            for schedule_id, instant, token in answer["fired"]:
                fired[schedule_id, instant] += 1
                tokens[schedule_id].append(token)
    until_ms = NOW_MS + 1000 * (SECONDS - 5)
    for schedule_id, (first_ms, period) in beats.items():
        owed = list(range(first_ms, until_ms, 1000 * period))
        assert [fired[schedule_id, instant] for instant in owed] == [1] * len(owed), f"every {period} s"
        assert len(set(tokens[schedule_id])) == len(tokens[schedule_id])

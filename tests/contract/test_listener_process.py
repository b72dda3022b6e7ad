"""The process that listens, on real servers: ``python -m container listen``, and the one that a worker keeps.

What it has in hand when it is killed comes again, from each kind of source, and has fired once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib import bootstrap, settings
from chalicelib.adapters.aws.clients import Clients
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.core.triggers.received_event import digest
from chalicelib.ports.services import Services
from chalicelib.usecases import trigger_settings
from chalicelib.usecases.trigger_settings import TriggerRequest
from infra.state import State
from localdev.processes import command_of
from tests.brokers import wait_until
from tests.contract.heard_sources import NONE, HeardSource, Servers, SqsHeard, servers
from tests.kit.emulator import REGION

pytestmark = [pytest.mark.emulator, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 90.0  # a dead member of a group of Kafka is missed after ten seconds, and the machine may be slow
SETTLED_S = 20.0  # what a queue of SQS shows again without being told to is hidden for a minute
CUT_OFF = "holds up the end no longer"
ENDS_S = 30.0  # SIGTERM ends it in seven seconds; the machine may be slow
GUEST = '{"username":"guest","password":"guest"}'
# Stores executions as the process does, and never acknowledges. It says what it holds.
STALLED = """
import time
from msgspec.structs import replace
from chalicelib import bootstrap
from chalicelib.workers.listen import Listeners


class Stalled:
    def __init__(self, inner):
        self.open = lambda trigger: StalledConsumer(trigger.rules.source["type"], inner.open(trigger))


class StalledConsumer:
    def __init__(self, kind, inner):
        self.kind, self.receive, self.close = kind, inner.receive, inner.close

    def settle(self, messages, done):
        print(self.kind, *done, *(m.handle for m in messages if self.kind == "sqs"), flush=True)
        time.sleep(1000)


s = bootstrap.services()
listeners = Listeners(replace(s, event_sources=Stalled(s.event_sources)))
listeners.look()
time.sleep(1000)
"""
# What a worker does with the process that it keeps.
WORKER = """
import signal, threading
from localdev.listen import ListenerProcess
stopping = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopping.set())
ListenerProcess().keep(stopping)
"""


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with servers(tmp_path_factory.mktemp("servers")) as found:
        yield found


class Deployment:
    """Tables, triggers on sources of each kind, and the processes of a test."""

    def __init__(self, env: dict[str, str], sources: dict[str, HeardSource], stack: contextlib.ExitStack) -> None:
        self._env = env
        self._stack = stack
        self.sources = sources
        self.services: Services = bootstrap.build(settings.load(env))
        self.ids: dict[str, str] = {}
        for name, one in sources.items():
            self.ids[name] = self.services.ids.ulid(self.services.clock.now_ms())
            wanted = TriggerRequest(name=self.ids[name], source=one.source, target={"type": "log"})
            trigger_settings.create(self.services, ANONYMOUS_ADMIN, wanted, self.ids[name])

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        command = [sys.executable, *arguments]
        env = {"PATH": "/usr/bin:/bin", **self._env}
        process: subprocess.Popen[str] = subprocess.Popen(command, cwd=ROOT, env=env, text=True, **more)
        self._stack.callback(_end, process)
        return process

    def send(self, *numbers: int) -> None:
        for one in self.sources.values():
            one.send(*numbers)

    def fired(self, name: str) -> list[str]:
        found, _ = trigger_settings.executions(self.services, ANONYMOUS_ADMIN, self.ids[name], 1000, None)
        return sorted(one.id for one in found)

    def execution_ids(self, name: str, *numbers: int) -> list[str]:
        return sorted(f"{self.ids[name]}-{digest('/shop', f'e{number}')}" for number in numbers)

    def wait_for(self, *numbers: int) -> None:
        """Until exactly these have fired, of each source."""
        for name in self.sources:
            wanted = set(self.execution_ids(name, *numbers))
            wait_until(lambda n=name, w=wanted: set(self.fired(n)) >= w, WITHIN_S, f"events of {name}")  # type: ignore[misc]
            assert self.fired(name) == sorted(wanted)

    def wait_until_settled(self) -> None:
        for name, one in self.sources.items():
            wait_until(lambda o=one: o.unsettled() == NONE, WITHIN_S, f"the acknowledgements of {name}")  # type: ignore[misc]


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


@pytest.fixture
def deployment(
    brokers: Servers,
    resources: tuple[State, dict[str, str]],
    clients: Clients,
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Deployment]:
    env = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "CHRONO_STAGE": resources[0].stage,
        "CHRONO_DATA_DIR": str(tmp_path),
        "CHRONO_CONFIG": "",
        "RABBITMQ_GUEST": GUEST,
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with contextlib.ExitStack() as stack:
        made = Deployment(env, brokers.sources(clients.get("sqs")), stack)
        yield made
        for trigger_id in made.ids.values():
            trigger_settings.delete(made.services, ANONYMOUS_ADMIN, trigger_id, None)


def test_killed_between_an_execution_and_its_acknowledgement_it_has_fired_once(deployment: Deployment) -> None:
    stalled = deployment.start("-c", STALLED, stdout=subprocess.PIPE)
    assert stalled.stdout is not None
    deployment.send(1)
    held = dict(stalled.stdout.readline().split(" ", 1) for _ in deployment.sources)
    assert held.keys() == deployment.sources.keys()
    assert {words.split()[0] for words in held.values()} == {"True"}, held
    for name in deployment.sources:
        assert deployment.fired(name) == deployment.execution_ids(name, 1)
    stalled.kill()
    stalled.wait()
    queue = deployment.sources["sqs"]
    assert isinstance(queue, SqsHeard)
    assert queue.unsettled() == (0, 1)  # it would come again after a minute
    queue.client.change_message_visibility(
        QueueUrl=queue.url, ReceiptHandle=held["sqs"].split()[1], VisibilityTimeout=0
    )
    for name in ("rabbitmq", "kafka"):
        wait_until(lambda n=name: deployment.sources[n].unsettled() == (1, 0), WITHIN_S, f"the message of {name}")  # type: ignore[misc]
    heir = deployment.start("-m", "container", "listen")
    deployment.send(2)
    deployment.wait_for(1, 2)
    deployment.wait_until_settled()
    assert _ends(heir) == 0
    assert {name: one.unsettled() for name, one in deployment.sources.items()} == dict.fromkeys(held, NONE)
    deployment.wait_for(1, 2)


def test_sigterm_under_load_loses_nothing_and_the_one_that_a_worker_keeps_goes_on(deployment: Deployment) -> None:
    count = 40
    first = deployment.start("-m", "container", "listen", stderr=subprocess.PIPE)
    deployment.send(0)
    deployment.wait_for(0)
    deployment.send(*range(1, count))
    wait_until(lambda: all(len(deployment.fired(name)) > 1 for name in deployment.sources), WITHIN_S, "some of each")
    began_s = time.monotonic()
    assert _ends(first) == 0
    print(f"ended {time.monotonic() - began_s:.1f} s after SIGTERM")
    assert first.stderr is not None
    has_drained = CUT_OFF not in first.stderr.read()  # on a machine that is slow enough it is cut off, and says so
    for name, one in deployment.sources.items():
        if has_drained:
            wait_until(lambda o=one: not o.unsettled().in_hand, SETTLED_S, f"{name} to have nothing in hand")  # type: ignore[misc]
        # What was in hand comes back when the server sees that its reader has gone. What was acknowledged never does.
        wait_until(
            lambda n=name, o=one: sum(o.unsettled()) + len(deployment.fired(n)) >= count,  # type: ignore[misc]
            SETTLED_S,
            f"all {count} of {name}: something was acknowledged and did not fire, so it",
        )
    worker = deployment.start("-c", WORKER)
    listener = _listener_of(worker)
    deployment.wait_for(*range(count))
    deployment.wait_until_settled()
    os.kill(listener, signal.SIGKILL)
    wait_until(lambda: _child_of(worker) not in (None, listener), WITHIN_S, "another process that listens")
    deployment.sources["rabbitmq"].send(count)  # Kafka would miss the dead one for ten seconds more
    wait_until(lambda: len(deployment.fired("rabbitmq")) > count, WITHIN_S, "an event that came after it")
    last = _listener_of(worker)
    worker.kill()  # its end is the end of what it kept
    wait_until(lambda: not command_of(last), WITHIN_S, "the end of the process that listens")
    assert deployment.fired("rabbitmq") == deployment.execution_ids("rabbitmq", *range(count + 1))


def _ends(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(ENDS_S)


def _listener_of(worker: subprocess.Popen[str]) -> int:
    found: list[int] = []

    def is_there() -> bool:
        found[:] = [pid for pid in (_child_of(worker),) if pid is not None]
        return bool(found)

    wait_until(is_there, WITHIN_S, "a process that listens")
    return found[0]


def _child_of(worker: subprocess.Popen[str]) -> int | None:
    """The process that a worker keeps, while it lives."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            after_name = stat.read_text().rpartition(")")[2].split()  # a name may hold blanks and brackets
            pid = int(stat.parent.name)
            if int(after_name[1]) == worker.pid and "localdev.listen" in command_of(pid):
                return pid
    return None

"""The image without a builder and without a daemon: its root laid out by the Dockerfile, its processes in it."""

from __future__ import annotations

import http.client
import json
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.image import Image, lay_out
from tests.e2e.busy import StallMeter
from tests.e2e.dev_server import STOP_TIMEOUT_S, wait_for
from tests.e2e.paced_receiver import PacedReceiver
from tests.kit.containers import Containers, missing, over_emulator
from tests.kit.emulator import running_emulator
from tests.kit.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.long]

KEY = "the-first-admin-key-of-the-image-test"
SLOW_MS = 3_000
STARTED_WITHIN_S = 90.0  # on a busy machine a container takes its time to start; what was lost has attempt 2
LEAD_MS = 15_000  # the longest: a firing that is claimed is not due for so long, so that a slow stop still comes first
AHEAD_MS = 25_000


class Deployed:
    """The image's containers over an emulator, and their API."""

    def __init__(self, root: Path, image: Image, endpoint: str) -> None:
        self.port = free_port()
        self.containers = Containers(
            root,
            image,
            {
                **over_emulator(endpoint, self.port, KEY),
                "CHRONO_WEBHOOK_ALLOW": "127.0.0.1",
                "CHRONO_DELIVER_LEAD_MS": str(LEAD_MS),
            },
        )

    def call(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return json.loads(content) if answer.status < 300 else None

    def once(self, at_ms: int, receiver: PacedReceiver) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms // 1000)) + f".{at_ms % 1000:03}Z"
        made = self.call("POST", "/api/v1/schedules", {"type": "AT", "expr": f"at:{at}", "target": receiver.target()})
        return f"{made['id']}-{at_ms}"

    def now(self, receiver: PacedReceiver) -> str:
        target = receiver.target()
        made = self.call("POST", "/api/v1/schedules", {"type": "RATE", "expr": "rate:1h", "target": target})
        fired = self.call("POST", f"/api/v1/schedules/{made['id']}:trigger", {})
        return str(fired["execution_id"])


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Image]:
    if (reason := missing()) is not None:
        warnings.warn(f"the image is not tried: it {reason}", stacklevel=1)
        pytest.skip(reason)
    root = tmp_path_factory.mktemp("image")
    root.chmod(0o755)
    for parent in (root.parent, root.parent.parent):  # the image's user has to get through to it
        parent.chmod(parent.stat().st_mode | 0o011)
    return root, lay_out(root)


@pytest.fixture
def deployed(laid_out: tuple[Path, Image]) -> Iterator[Deployed]:
    root, image = laid_out
    with running_emulator() as endpoint:
        made = Deployed(root, image, endpoint)
        try:
            yield made
        finally:
            made.containers.close()


@pytest.mark.timeout(600)
def test_its_processes_fire_are_healthy_and_end_without_cutting_an_attempt(
    deployed: Deployed, new_receiver: Callable[[int], PacedReceiver], stalls: StallMeter
) -> None:
    containers, check = deployed.containers, ["python3", "-m", "container", "health"]
    assert containers.run(["python3", "-m", "container", "init"]).returncode == 0
    api, worker = containers.start(), containers.start("worker")
    wait_for("the API to be healthy", lambda: containers.beside(api, check) == 0, STARTED_WITHIN_S)
    wait_for("the worker to be healthy", lambda: containers.beside(worker, check) == 0, STARTED_WITHIN_S)
    wait_for("schedules to fire", lambda: deployed.call("GET", "/health"), STARTED_WITHIN_S)

    slow, quick = new_receiver(SLOW_MS), new_receiver(0)
    waiting = deployed.once(time.time_ns() // 1_000_000 + AHEAD_MS, quick)

    def token() -> object:
        found = deployed.call("GET", f"/api/v1/executions/{waiting}")
        return found and found["fencing_token"]

    wait_for("the firing to be claimed ahead of its instant", lambda: token() == 1, STARTED_WITHIN_S)
    under_way = deployed.now(slow)
    wait_for("the attempt to be under way", lambda: slow.told()["arrived"])

    began_ms = time.time() * 1000
    worker.send_signal(signal.SIGTERM)
    another = containers.start("worker")
    assert worker.wait(20) == 0
    assert stalls.ran_s(began_ms) < STOP_TIMEOUT_S
    done = deployed.call("GET", f"/api/v1/executions/{under_way}")
    assert (done["delivery_state"], done["attempt"], done["fencing_token"]) == ("completed", 1, 1)

    # What it had claimed for later was handed back: the other worker claimed it anew, with no attempt counted.
    handed = wait_for(
        "the other firing", lambda: _ended(deployed.call("GET", f"/api/v1/executions/{waiting}")), STARTED_WITHIN_S
    )
    assert (handed["delivery_state"], handed["attempt"], handed["fencing_token"]) == ("completed", 1, 2)
    assert len(quick.told()["arrived"]) == 1
    nodes = [node for node in deployed.call("GET", "/debug/cluster")["nodes"] if "worker" in json.dumps(node)]
    assert len(nodes) == 1  # the shards of the one that ended are free
    another.send_signal(signal.SIGTERM)
    api.send_signal(signal.SIGTERM)
    assert (another.wait(60), api.wait(60)) == (0, 0)


def test_its_root_cannot_be_written_to_and_its_user_is_nobody_else(laid_out: tuple[Path, Image]) -> None:
    root, image = laid_out
    containers = Containers(root, image, {})
    try:
        wrote = containers.run(["sh", "-c", "echo > /opt/chronowatch/app.py"])
        assert wrote.returncode != 0
        program = "import os; open('/var/lib/chronowatch/x', 'w'); print(os.getuid(), os.getgid())"
        assert containers.run(["python3", "-c", program]).stdout == "65532 65532\n"
        refused = containers.run(["python3", "-m", "container", "api"], CHRONO_AUTH="off")
        assert refused.returncode == 2
        assert refused.stderr.startswith("chronowatch: CHRONO_AUTH: off is only for a service bound to loopback")
        unhealthy = containers.run(list(image.healthcheck))
        assert unhealthy.returncode == 1
        assert "the API does not answer" in unhealthy.stderr
    finally:
        containers.close()


def _ended(execution: dict[str, Any] | None) -> dict[str, Any] | None:
    return (
        execution if execution is not None and execution["delivery_state"] not in ("pending", "in_progress") else None
    )

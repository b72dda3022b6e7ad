"""docker-compose.yml without a daemon: each command of ours as the file says it, as processes, behind the real nginx.

Names of services become addresses of this machine; all else is what the file has. The emulator is the tests' own.
"""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.dev_server import STOP_TIMEOUT_S, wait_for
from tests.e2e.receiver import Receiver
from tests.kit.emulator import running_emulator
from tests.kit.ports import free_port
from tests.programs import program
from tests.tidy.sources import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.long]
FILE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
KEY = "the-first-admin-key-of-the-compose-test"
GIVEN = {"CHRONO_BOOTSTRAP_KEY": KEY, "CHRONO_PAGE_TOKEN_SECRET": "k" * 32, "CHRONO_WEBHOOK_ALLOW": "127.0.0.1"}
VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*)|:\?[^}]*)?\}")


def interpolated(value: str) -> str:
    """As Compose puts variables in, of which these are set."""
    return VARIABLE.sub(lambda found: GIVEN.get(found[1], found[2] or ""), value)


class Composition:
    """The services of the file that are ours, and its load balancer."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self._folder = folder
        self._endpoint = endpoint
        self._stack = ExitStack()
        self.api_port, self.port = free_port(), free_port()

    def run(self, service: str, number: int = 1) -> subprocess.Popen[str]:
        said = FILE["services"][service]
        env = {name: interpolated(value) for name, value in said["environment"].items()}
        assert env["AWS_ENDPOINT_URL"] == "http://emulator:4566"
        home = self._folder / f"{service}-{number}"
        home.mkdir(exist_ok=True)
        config = home / "chronowatch.yaml"
        image = (ROOT / "container" / "chronowatch.yaml").read_text()
        config.write_text(image.replace("0.0.0.0:8080", f"127.0.0.1:{self.api_port}").replace("/var/lib", str(home)))
        ours = {"AWS_ENDPOINT_URL": self._endpoint, "CHRONO_CONFIG": str(config), "PATH": "/usr/bin:/bin"}
        ours |= {"CHRONO_TRUSTED_PROXIES": "127.0.0.1"}  # nginx stands on this machine, not in Docker's network
        with (home / "stderr").open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "container", *said["command"]],
                cwd=ROOT,
                env={**env, **ours},
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                text=True,
            )
        self._stack.callback(end, process)
        return process

    def balance(self) -> None:
        """nginx with the file's own configuration of it."""
        nginx = program("nginx", package="nginx-light")
        text = (ROOT / "deploy" / "compose" / "nginx.conf").read_text()
        (mounted,) = FILE["services"]["lb"]["volumes"]
        assert mounted.startswith("./deploy/compose/nginx.conf:/etc/nginx/conf.d/")
        for there, here in (
            ("resolver 127.0.0.11 valid=5s;", ""),
            ("http://api:8080", f"http://127.0.0.1:{self.api_port}"),
            ("listen 8080", f"listen 127.0.0.1:{self.port}"),
        ):
            assert there in text
            text = text.replace(there, here)
        places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{place}_temp_path {self._folder}/{place};" for place in places)
        whole = f"daemon off; pid {self._folder}/nginx.pid; error_log {self._folder}/nginx.log; events {{}}"
        configuration = self._folder / "nginx.conf"
        configuration.write_text(f"{whole} http {{ access_log off; {temporary}\n{text}\n}}\n")
        process = subprocess.Popen([str(nginx), "-p", str(self._folder), "-c", str(configuration)], text=True)
        self._stack.callback(end, process)

    def ask(self, method: str, path: str, body: object = None, port: int | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=30)
        headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        except OSError:
            return 0, None
        finally:
            connection.close()
        is_json = "json" in (answer.headers["content-type"] or "")
        return answer.status, json.loads(content) if is_json else content.decode()

    def close(self) -> None:
        self._stack.close()


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def composition(tmp_path: Path) -> Iterator[Composition]:
    with running_emulator() as endpoint:
        made = Composition(tmp_path, endpoint)
        yield made
        made.close()


def test_it_serves_and_fires_behind_its_load_balancer(composition: Composition, receiver: Receiver) -> None:
    init = composition.run("init")
    assert init.wait(90) == 0, "it ends, and the others wait for that"
    composition.run("api")
    replicas = FILE["services"]["worker"]["deploy"]["replicas"]
    workers = [composition.run("worker", number + 1) for number in range(replicas)]
    composition.balance()
    wait_for("the API behind the load balancer", lambda: composition.ask("GET", "/health")[0] == 200, 90)
    wanted = {"type": "RATE", "expr": "rate:1s", "target": receiver.target()}
    status, made = composition.ask("POST", "/api/v1/schedules", wanted)
    assert status == 201, made
    wait_for("three firings", lambda: len(receiver.counts(made)) >= 3, 90)

    assert composition.ask("GET", "/metrics")[0] == 404, "what is for operators is not for everybody"
    assert composition.ask("GET", "/debug/cluster")[0] == 404
    assert composition.ask("GET", "/metrics", port=composition.api_port)[0] == 200, "Prometheus asks inside"

    # One of two workers ends in time, and the other goes on.
    workers[0].send_signal(signal.SIGTERM)
    assert workers[0].wait(STOP_TIMEOUT_S + 5) == 0
    before = len(receiver.counts(made))
    wait_for("firings by the other worker", lambda: len(receiver.counts(made)) >= before + 3, 90)
    assert set(receiver.counts(made).values()) == {1}, "each instant once"

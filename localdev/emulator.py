"""The AWS emulator as a process: started, and stopped so that it saves its state.

It writes its state only when it is asked to stop, so it is never killed in a hurry. Its standard input is a pipe that
only its supervisor holds. When the supervisor is gone, even by ``kill -9``, the emulator saves its state and ends.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from localdev import environments
from localdev.processes import PidFile, wait_gone

MARKER = "ministack"
LAUNCHER = Path(__file__).with_name("ministack_extended.py")
START_TIMEOUT_S = 60.0  # a machine may be busy
SAVE_TIMEOUT_S = 60.0  # state that took a day to make is worth a minute's wait


class EmulatorFailed(Exception):
    """Raised when the emulator does not start; the message is one line."""


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on ``port``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def answers(endpoint: str, timeout_s: float = 2.0) -> bool:
    """Whether something at ``endpoint`` speaks HTTP, whatever it says."""
    try:
        with urllib.request.urlopen(endpoint, timeout=timeout_s):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


class Emulator:
    """The emulator of one data directory."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self._port = port
        self._state = data_dir / "emulator"
        self._log = data_dir / "log" / "emulator.log"
        self._pid_file = PidFile(data_dir / "run" / "emulator.pid", MARKER)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, env: Mapping[str, str]) -> None:
        """Start it; it does not answer yet. Raises EmulatorFailed when its port is taken."""
        stray = self._pid_file.living()
        if stray is not None:  # of a supervisor that was killed: its state must be saved before another reads it
            with suppress(ProcessLookupError):
                os.kill(stray, signal.SIGTERM)
            wait_gone(stray, MARKER, SAVE_TIMEOUT_S)
        if not is_free("127.0.0.1", self._port):
            raise EmulatorFailed(
                f"CHRONO_EMULATOR_PORT: port {self._port} is in use; set another"
                f" (or AWS_ENDPOINT_URL={self.endpoint}, to share what listens there)"
            )
        self._state.mkdir(parents=True, exist_ok=True)
        own = {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self._port),
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self._state),
            "LOG_LEVEL": "WARNING",
            "IOT_MTLS_ENABLED": "0",  # it would listen on all addresses, on a port of its own
            "SFTP_ENABLED": "0",
        }
        with open(self._log, "ab") as output:
            self._process = subprocess.Popen(  # noqa: S603
                [environments.EMULATOR.python, "-P", str(LAUNCHER)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**env, **own},
                start_new_session=True,  # Ctrl-C must not reach it before those who write to it have stopped
            )
        self._pid_file.write(self._process.pid)

    def wait_ready(self) -> None:
        """Wait until it answers. Raises EmulatorFailed."""
        until = time.monotonic() + START_TIMEOUT_S
        while not answers(f"{self.endpoint}/_ministack/health"):
            if not self.is_alive():
                raise EmulatorFailed(f"the emulator stopped as it started: see {self._log}")
            if time.monotonic() > until:
                raise EmulatorFailed(f"the emulator does not answer on {self.endpoint}: see {self._log}")
            time.sleep(0.03)

    def is_alive(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Ask it to stop and wait while it saves its state."""
        if self._process is not None and self.is_alive():
            self._process.terminate()
            self._process.wait(SAVE_TIMEOUT_S)
        self._pid_file.clear()

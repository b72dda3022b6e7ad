"""An AWS emulator for tests: one process on a free port, in its own Python environment."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from localdev.emulator import LAUNCHER
from localdev.environments import EMULATOR
from tests.kit.ports import free_port

REGION = "us-east-1"
START_WITHIN_S = 120  # beside many other tests


def emulator_command() -> list[str]:
    """The command that starts the emulator: CHRONO_EMULATOR_PYTHON's, or that of the checkout's own environment."""
    python = os.environ.get("CHRONO_EMULATOR_PYTHON") or str(EMULATOR.python)
    return [python, "-P", str(LAUNCHER)]


@contextmanager
def running_emulator(port: int | None = None) -> Iterator[str]:
    """The endpoint of an emulator that lives until the end of the block, with nothing in it."""
    port = port or free_port()
    env = {**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "LOG_LEVEL": "ERROR"}
    process = subprocess.Popen(
        emulator_command(),
        env=env,
        stdin=subprocess.PIPE,  # its end ends the emulator, also when this process is killed
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    endpoint = f"http://127.0.0.1:{port}"
    try:
        _wait_for(process, f"{endpoint}/_ministack/health")
        yield endpoint
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdin is not None
        process.stdin.close()


def _wait_for(process: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + START_WITHIN_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the emulator ended with code {process.returncode}: {' '.join(emulator_command())}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"the emulator does not answer at {url}")

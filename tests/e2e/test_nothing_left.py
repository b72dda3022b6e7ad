"""A test run that is killed leaves no process behind, whatever it had started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.e2e.dev_server import ROOT, wait_for

PROC = Path("/proc")
MARK = "CHRONOWATCH_TEST_RUN"  # in the environment of all that a run starts
READY_WITHIN_S = 180.0
GONE_WITHIN_S = 60.0  # a clean stop alone may take ten seconds
A_RUN = """
import time
from pathlib import Path

from tests.e2e.dev_server import DevServer
from tests.e2e.paced_receiver import PacedReceiver
from tests.kit.emulator import running_emulator


def test_for_ever(tmp_path):
    with running_emulator():
        PacedReceiver(10)
        DevServer(tmp_path / "data").start()
        Path(__file__).with_name("ready").touch()
        time.sleep(600)
"""


def commands(mark: str) -> dict[int, str]:
    """The living processes that have ``mark`` in their environment, by id."""
    found = {}
    for directory in PROC.iterdir():
        try:
            if mark.encode() in (directory / "environ").read_bytes():
                command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(directory.name)] = command
        except (OSError, ValueError):
            continue
    return {pid: command for pid, command in found.items() if command}


@pytest.mark.timeout(600)
@pytest.mark.skipif(not PROC.is_dir(), reason="reads the environments of processes")
def test_a_killed_run_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "test_for_ever.py").write_text(A_RUN)
    mark = uuid.uuid4().hex
    options = ("-p", "tests.conftest", "-p", "no:cacheprovider", "-n", "1", "--basetemp", tmp_path / "base")
    with open(tmp_path / "printed", "wb") as printed:
        run = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", *options, "--rootdir", tmp_path, tmp_path / "test_for_ever.py"],
            cwd=ROOT,
            env={**os.environ, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for("the run to have started all", (tmp_path / "ready").exists, READY_WITHIN_S)
        began = commands(mark)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert sum("ministack" in command for command in began.values()) == 2
    for part in ("localdev.supervisor", "localdev.server", "localdev.worker", "paced_receiver"):
        assert any(part in command for command in began.values()), part
    wait_for("all to end", lambda: not commands(mark), GONE_WITHIN_S)

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localdev.processes import PidFile, command_of, end_stray
from tests.tidy.sources import ROOT

SLEEPER = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)  # localdev.sleeper"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)",
]

# A signal each 0.2 ms, while the main thread has the lock of the event again and again.
SIGNALLED = """
import signal, threading, time
from localdev.processes import call_on_signals

told, heard, until = threading.Event(), 0, time.monotonic() + 1

def hear():
    global heard
    heard += 1
    told.set()

call_on_signals([signal.SIGALRM], hear)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
while time.monotonic() < until:
    told.clear()
    told.wait(1)
signal.setitimer(signal.ITIMER_REAL, 0)
print(heard)
"""


@contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_a_pid_file_is_believed_only_while_its_process_is_what_it_says(tmp_path: Path) -> None:
    file = PidFile(tmp_path / "x.pid", "localdev.sleeper")
    assert file.living() is None
    with sleeper() as process:
        file.write(process.pid)
        assert file.living() == process.pid
        assert PidFile(file.path, "something else").living() is None
    assert file.living() is None
    file.path.write_text("not a number")
    assert file.living() is None
    file.write(os.getpid())
    assert file.living() is None


def test_a_stray_process_is_ended_even_when_it_does_not_listen(tmp_path: Path) -> None:
    file = PidFile(tmp_path / "x.pid", "signal.SIG_IGN")
    with subprocess.Popen(DEAF, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        file.write(process.pid)
        end_stray(file, timeout_s=0.2)
        assert process.wait(30) == -9
    assert not file.path.exists()


def test_the_command_of_nobody_is_empty() -> None:
    with sleeper() as process:
        assert "localdev.sleeper" in command_of(process.pid)
    assert command_of(process.pid) == ""


def test_signals_are_heard_whatever_lock_the_main_thread_holds() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SIGNALLED], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert int(ran.stdout) > 0

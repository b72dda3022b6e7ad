"""Child processes with pid files, that end with the supervisor however it ends.

A child's standard input is a pipe that only the supervisor holds. ``go`` on it says that everything it needs is there,
and its end says that the supervisor is gone, even by ``kill -9``. That works on every Unix, unlike a death signal.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from queue import SimpleQueue

GO = b"go\n"
READY_FILE = "READY_FILE"  # a variable that names the file in which a server notes that it is ready
OWN_EMULATOR = "OWN_EMULATOR"  # a variable that says that the endpoint is the supervisor's own emulator


def command_of(pid: int) -> str:
    """The command line of a living process; empty when there is none (or it is a zombie)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
    except OSError:
        return ""
    ran = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return ran.stdout.strip()


class PidFile:
    """``run/NAME.pid``: a number, believed only while that process runs a command with ``marker`` in it."""

    def __init__(self, path: Path, marker: str) -> None:
        self.path = path
        self.marker = marker

    def living(self) -> int | None:
        """The recorded process if it lives and is what the file says; None for a stale file."""
        try:
            pid = int(self.path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if pid != os.getpid() and self.marker in command_of(pid) else None

    def write(self, pid: int) -> None:
        """Record ``pid``: whole or not at all."""
        fresh = self.path.with_suffix(".tmp")
        fresh.write_text(f"{pid}\n")
        fresh.replace(self.path)

    def clear(self) -> None:
        """Record that no process is running."""
        self.path.unlink(missing_ok=True)


def wait_gone(pid: int, marker: str, timeout_s: float) -> bool:
    """Wait until a process that is not our child is gone."""
    until = time.monotonic() + timeout_s
    while marker in command_of(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def end_stray(pid_file: PidFile, timeout_s: float = 4.0) -> None:
    """End what a supervisor that died left behind, and wait for it."""
    pid = pid_file.living()
    if pid is not None:
        _signal(pid, signal.SIGTERM)
        if not wait_gone(pid, pid_file.marker, timeout_s):
            _signal(pid, signal.SIGKILL)
            wait_gone(pid, pid_file.marker, timeout_s)
    pid_file.clear()


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


class Child:
    """One module run as a process: ``python -m module``, its output in a log file, its warnings on the terminal."""

    def __init__(self, name: str, module: str, pid_file: PidFile, log: Path) -> None:
        self.name = name
        self.died_at: float | None = None
        self._module = module
        self._pid_file = pid_file
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, env: Mapping[str, str]) -> None:
        """Start it; it loads its code and waits for ``go``."""
        with open(self._log, "ab") as output:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", self._module], stdin=subprocess.PIPE, stdout=output, env=dict(env)
            )
        self._pid_file.write(self._process.pid)
        self.died_at = None

    def go(self) -> None:
        """Everything it needs is there."""
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(GO)
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # it died; the supervisor reports that

    def exit_code(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    def terminate(self) -> None:
        """Ask it to stop."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, until: float) -> None:
        """Wait for its end until the monotonic instant ``until``, then end it by force."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._pid_file.clear()


def run_child(prepare: Callable[[], Callable[[threading.Event], None]]) -> None:
    """The life of a child: ``prepare`` loads its code; what it returns runs from ``go`` until the event is set.

    SIGTERM and the end of the supervisor set the event. Ctrl-C is the supervisor's business. The process ends without
    waiting for threads that sleep: what they hold is leased, and comes back.
    """
    stopping = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    call_on_signals([signal.SIGTERM], stopping.set)
    run = prepare()
    code = 0
    if sys.stdin.buffer.readline() == GO:
        call_at_eof(stopping.set)
        try:
            run(stopping)
        except OSError as problem:
            if problem.errno != errno.EADDRINUSE:
                raise
            print(problem.strerror, file=sys.stderr)  # the supervisor says which variable names the port
            code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def note_ready() -> None:
    """Note for the supervisor, should there be one, that this server listens, or with TLS that ``/health`` is 200."""
    if path := os.environ.get(READY_FILE):
        Path(path).touch()


def call_on_signals(numbers: Iterable[signal.Signals], told: Callable[[], object]) -> None:
    """Call ``told`` when one of these signals comes, in a thread of its own.

    A handler runs amid whatever the main thread does. If that holds the lock of an event, a handler that sets the event
    waits for it for ever. ``SimpleQueue.put`` may be called there.
    """
    came: SimpleQueue[None] = SimpleQueue()

    def hear() -> None:
        while True:
            came.get()
            told()

    threading.Thread(target=hear, name="signals", daemon=True).start()
    for number in numbers:
        signal.signal(number, lambda *_: came.put(None))


def call_at_eof(end: Callable[[], object]) -> None:
    """Call ``end`` when standard input ends: the process that held its other end is gone."""

    def watch() -> None:
        # Not through sys.stdin: a thread that holds its lock would make the interpreter abort at its end.
        while os.read(0, 4096):
            pass
        end()

    threading.Thread(target=watch, daemon=True).start()

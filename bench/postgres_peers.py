"""Other job queues on PostgreSQL, given the product's instants: procrastinate, graphile-worker and pg-boss.

Each has an environment of its own under ``CHRONO_DATA_DIR/bench``, made on first use. Its server is as the product's
was: the same program with the same options, over a fresh directory. Those of npm are left out, and said to be, where
there is no npm.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench import peer
from bench.postgres_product import children
from bench.product import cpu_of
from bench.report import spread
from bench.root import ROOT
from localdev.postgres import PostgresServer

SCRIPTS = ROOT / "bench" / "peers"
PACKAGES = SCRIPTS / "package.json"
PEERS = ("procrastinate", "graphile-worker", "pg-boss")
SETTINGS = {
    "procrastinate": "looks every 50 ms, 20 jobs at once",
    "graphile-worker": "looks every 50 ms, 20 jobs at once",
    "pg-boss": "looks every 0.5 s, its least; takes 1,000 at once",
}
INSTALL_TIMEOUT_S = 300
ADDED_PER_S = 2000  # jobs that each adds for certain
STARTS_S = 6.0
WAIT_S = 10.0


class NoPeer(Exception):
    """Raised when a peer cannot be had; the message says why."""


class PeerFirings(NamedTuple):
    """What a peer did with instants."""

    late_ms: list[float]
    missing: int
    doubled: int
    added_late_ms: int  # above 0: the first instant had come before all were added
    cpu_s: float  # of its process
    postgres_cpu_s: float

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {**self._asdict(), "late_ms": spread(self.late_ms)}


def command(name: str) -> list[str]:
    """What runs a peer. Raises NoPeer."""
    if name == "procrastinate":
        try:
            return [str(peer.environment(name)), str(SCRIPTS / "procrastinate_peer.py")]
        except (OSError, subprocess.SubprocessError) as problem:
            raise NoPeer(f"pip cannot install it: {problem}") from problem
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NoPeer("there is no node and npm on PATH")
    return [node, str(_modules(npm) / f"{name.replace('-', '_')}_peer.mjs")]


def _modules(npm: str) -> Path:
    """A directory with the packages, and the scripts beside them: modules are found from where a script lies."""
    directory = peer.home("node")
    stamp, wanted = directory / "package.sha256", hashlib.sha256(PACKAGES.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print("installing the peers of npm (once) …", file=sys.stderr, flush=True)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        shutil.copy(PACKAGES, directory)
        install = [npm, "install", "--no-fund", "--no-audit", "--loglevel=error"]
        try:
            subprocess.run(install, cwd=directory, check=True, timeout=INSTALL_TIMEOUT_S, stdout=sys.stderr)  # noqa: S603
        except (OSError, subprocess.SubprocessError) as problem:
            raise NoPeer(f"npm cannot install it: {problem}") from problem
        stamp.write_text(wanted)
    for script in SCRIPTS.glob("*.mjs"):
        shutil.copy(script, directory)
    return directory


@contextmanager
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL as ``scripts/dev --postgres`` starts it."""
    with tempfile.TemporaryDirectory(prefix="chronowatch-peers-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)  # noqa: S103 -- it runs as another user where this runs as root
        started = PostgresServer(Path(folder) / "postgres")
        started.start()
        try:
            yield started
        finally:
            started.stop()


def needed_s(count: int) -> float:
    """How long before its first instant a peer is started."""
    return STARTS_S + count / ADDED_PER_S


def fire(started: PostgresServer, run: Sequence[str], instants: Sequence[int]) -> PeerFirings:
    """Have a peer run one job at each instant. Raises RuntimeError with what it said last."""
    order = json.dumps({"dsn": started.dsn, "instants_unix_ms": list(instants), "wait_s": WAIT_S})
    before = _postgres_cpu(started)
    ran = subprocess.run([*run], input=order, capture_output=True, text=True, check=False)  # noqa: S603
    if ran.returncode != 0 or not ran.stdout:
        raise RuntimeError(f"the peer failed: {ran.stderr.strip().splitlines()[-1:]}")
    noted = json.loads(ran.stdout.splitlines()[-1])
    return PeerFirings(
        *judged(instants, noted["started"]),
        max(0, noted["added_unix_ms"] - min(instants)),
        noted["cpu_s"],
        _postgres_cpu(started) - before,
    )


def judged(instants: Sequence[int], started: Sequence[Sequence[int]]) -> tuple[list[float], int, int]:
    """How late each job began, how many did not, and how many began once too often."""
    left = Counter(instants)
    left.subtract(at_ms for at_ms, _ in started)
    late_ms = [at_ns / 1e6 - at_ms for at_ms, at_ns in started]
    return late_ms, sum(n for n in left.values() if n > 0), -sum(n for n in left.values() if n < 0)


def _postgres_cpu(started: PostgresServer) -> float:
    pid = started.pid
    assert pid is not None
    return sum(used for each in (pid, *children(pid)) if (used := cpu_of(each)) is not None)

"""Peers: an environment for each, made once; and running APScheduler, one process for each measurement."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.root import ROOT

SCRIPT = ROOT / "bench" / "peers" / "apscheduler_peer.py"
INSTALL_TIMEOUT_S = 300
RUN_TIMEOUT_S = 240


@dataclass(frozen=True, slots=True)
class PeerRun:
    """What the peer noted: when each job started, and the CPU seconds its process used for adding and for firing."""

    started: dict[str, list[int]]
    added_unix_ms: int
    cpu_adding_s: float
    cpu_firing_s: float


def run(**asked: Any) -> PeerRun:
    """Have the peer do it. Raises RuntimeError with what it said last."""
    with tempfile.TemporaryDirectory(prefix="chronowatch-peer-") as directory:
        order = json.dumps({"post_port": 0, **asked, "store": f"{directory}/jobs.sqlite"})
        ran = subprocess.run(  # noqa: S603
            [python(), SCRIPT], input=order, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
        )
    if ran.returncode != 0:
        raise RuntimeError(f"the peer failed: {ran.stderr.strip().splitlines()[-1:]}")
    noted = json.loads(ran.stdout)
    started: dict[str, list[int]] = {}
    for name, at_ns in noted["started"]:
        started.setdefault(name, []).append(at_ns)
    return PeerRun(started, noted["added_unix_ms"], noted["cpu_adding_s"], noted["cpu_firing_s"])


def at_instants(instants_unix_ms: Sequence[int], post_port: int) -> PeerRun:
    """One job at each instant."""
    return run(instants_unix_ms=list(instants_unix_ms), post_port=post_port)


def python() -> Path:
    """The interpreter of APScheduler's environment."""
    return environment("apscheduler")


def home(name: str) -> Path:
    """Where the benches keep what a peer needs."""
    return Path(os.environ.get("CHRONO_DATA_DIR") or ROOT / ".chronowatch").resolve() / "bench" / name


def environment(name: str) -> Path:
    """The interpreter of a peer's environment, which is made when it is missing or ``peers/NAME.txt`` changed."""
    requirements = ROOT / "bench" / "peers" / f"{name}.txt"
    directory = home(name)
    found, stamp = directory / "bin" / "python", directory / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if found.exists() and stamp.exists() and stamp.read_text() == wanted:
        return found
    print("making the peer's environment (once) …", file=sys.stderr, flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    venv.create(directory, with_pip=True)
    command = [str(found), "-m", "pip", "install", "--quiet", "--no-input", "-r", str(requirements)]
    subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT_S)  # noqa: S603
    stamp.write_text(wanted)
    return found

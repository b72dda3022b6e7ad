"""Generators of clients from their registries, installed once a checkout and pinned to the byte.

What cannot be installed here (no registry, no Node, no Java) skips the tests that need it, and says why.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from localdev import environments
from localdev.environments import CLIENTS, ROOT, EnvironmentFailed

HERE = Path(__file__).parent
NPM_FILES = ("package.json", "package-lock.json", ".npmrc")
INSTALL_TIMEOUT_S = 240
RUN_TIMEOUT_S = 220  # a tenth of it is enough where nothing else runs


def python() -> Path:
    """The Python that has the Python generators, and what the clients they make need."""
    try:
        environments.ensure([CLIENTS])
    except (EnvironmentFailed, OSError) as problem:
        pytest.skip(f"the Python generators cannot be installed: {problem}")
    return CLIENTS.python


def java() -> str:
    """The Java of this machine."""
    return _program("java")


def node_modules() -> Path:
    """Where npm installed what the lock file pins."""
    _program("node")
    npm = _program("npm")
    digest = hashlib.sha256(b"\0".join((HERE / name).read_bytes() for name in NPM_FILES)).hexdigest()[:16]
    folder = ROOT / "build" / "clients" / digest
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            for name in NPM_FILES:
                shutil.copy(HERE / name, folder / name)
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
            try:
                ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                pytest.skip(f"the TypeScript generator cannot be installed: npm took {INSTALL_TIMEOUT_S} s")
            if ran.returncode != 0:
                pytest.skip(f"the TypeScript generator cannot be installed: {' '.join(ran.stderr.split())[:200]}")
            (folder / "installed").touch()
    return folder / "node_modules"


def run(command: Sequence[str | Path], cwd: Path) -> str:
    """What a command printed; it must succeed. Generators find the formatter of their environment on the path."""
    environment = {**os.environ, "PATH": f"{CLIENTS.python.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    ran = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
    assert ran.returncode == 0, f"{command[:3]}…: {(ran.stdout + ran.stderr)[-4000:]}"
    return ran.stdout


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed on this machine")
    return found

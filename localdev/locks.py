"""``scripts/lock``: the lock files beside the requirement files, with every package they bring and the hashes of it.

A requirement file names what we chose; its lock names all that comes with it. pip installs from locks alone. It
refuses a file whose hash is not listed. The hashes are those of every file of a release, so one lock serves arm64 and
x86_64. Its first line holds the digest of what it was made from: a lock that is out of date is found without an index.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"
LAMBDA_PYTHON = "3.13"  # what the functions run on: infra/vendor.py has wheels of it
# The packager adds the half of Chalice that runs. croniter is a peer in tests; uvicorn and websockets serve off AWS.
# What only some functions need travels in layers (infra/layers.py).
NOT_SHIPPED = ("chalice", "croniter", "uvicorn", "websockets", "-r requirements-crypto.txt")
ARCHITECTURES = ("x86_64", "aarch64")
_HEAD = "# Made by scripts/lock from "


class LockFailed(Exception):
    """Raised when a lock is out of date or cannot be made; the message is one line."""


class Lock(NamedTuple):
    """A lock file, the requirement files that it is made from (the first includes the others), and what is left out."""

    name: str
    sources: tuple[str, ...]
    without: tuple[str, ...] = ()
    within: str = ""  # the lock whose releases it takes

    @property
    def path(self) -> Path:
        return ROOT / self.name

    def requirements(self) -> str:
        """What is asked for: the text of the first source, without what is left out."""
        lines = (ROOT / self.sources[0]).read_text().splitlines()
        return "".join(f"{line}\n" for line in lines if line.partition("==")[0].strip() not in self.without)

    def head(self) -> str:
        """The first line of a lock that is up to date."""
        content = [self.requirements(), *((ROOT / name).read_text() for name in self.sources[1:])]
        digest = hashlib.sha256("\0".join(content).encode()).hexdigest()
        return f"{_HEAD}{' and '.join(self.sources)}, sha256 {digest}"

    def check(self) -> None:
        """Raises LockFailed when the lock was made from other requirements."""
        if not self.path.is_file() or self.path.read_text().partition("\n")[0] != self.head():
            raise LockFailed(f"{self.name} is not of the present {' and '.join(self.sources)}: run scripts/lock")


_DEVELOPED_WITH = (
    "requirements.txt",
    "requirements-crypto.txt",
    "requirements-grpc.txt",
    "requirements-rego.txt",
    "requirements-brokers.txt",
    "requirements-workflows.txt",
    "requirements-postgres.txt",
)
DEVELOPMENT = Lock("requirements-dev.lock", ("requirements-dev.txt", *_DEVELOPED_WITH))
RUNTIME = Lock("requirements.lock", ("requirements.txt", "requirements-crypto.txt"), within=DEVELOPMENT.name)
# What goes into the Lambda zip, and into layers beside it.
SHIPPED = Lock("requirements-lambda.lock", ("requirements.txt",), NOT_SHIPPED, DEVELOPMENT.name)
CRYPTO = Lock("requirements-crypto.lock", ("requirements-crypto.txt",), within=DEVELOPMENT.name)
BROKERS = Lock("requirements-brokers.lock", ("requirements-brokers.txt",), within=DEVELOPMENT.name)
WORKFLOWS = Lock("requirements-workflows.lock", ("requirements-workflows.txt",), within=DEVELOPMENT.name)
# What the gRPC server needs beside RUNTIME, and of which functions need the client.
GRPC = Lock("requirements-grpc.lock", ("requirements-grpc.txt",), within=DEVELOPMENT.name)
LAYERED = (CRYPTO, BROKERS, WORKFLOWS, GRPC)
# What only a deployment on PostgreSQL needs.
POSTGRES = Lock("requirements-postgres.lock", ("requirements-postgres.txt",), within=DEVELOPMENT.name)
REGO = Lock("requirements-rego.lock", ("requirements-rego.txt",), within=DEVELOPMENT.name)
EMULATED = Lock("requirements-emulator.lock", ("requirements-emulator.txt",))
GENERATORS = Lock("requirements-clients.lock", ("requirements-clients.txt",))
TOOLING = Lock("requirements-tools.lock", ("requirements-tools.txt",))
LOCKS = (DEVELOPMENT, RUNTIME, SHIPPED, *LAYERED, POSTGRES, REGO, EMULATED, GENERATORS, TOOLING)


def locked(text: str) -> dict[str, str]:
    """The releases that a lock names, by package."""
    lines = [line for line in text.splitlines() if "==" in line and not line.startswith(("#", " "))]
    # What early releases of Python 3.11 alone need is in no zip.
    lines = [line for line in lines if "; python_full_version < '3.11." not in line]
    parts = [line.partition("==") for line in lines]
    return {name.partition("[")[0]: rest.split()[0] for name, _, rest in parts}


def make(uv: Sequence[str], upgrade: bool) -> None:
    """Make all locks; what a lock names already stays, unless it must move or ``upgrade``. Raises LockFailed."""
    for lock in LOCKS:
        _compile(uv, lock, upgrade)
    for lock in (SHIPPED, *LAYERED):
        for architecture in ARCHITECTURES:
            _try_install(uv, lock, architecture)


def _compile(uv: Sequence[str], lock: Lock, upgrade: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asked, made = Path(folder) / "requirements.in", Path(folder) / "made.lock"
        asked.write_text(lock.requirements().replace("-r ", f"-r {ROOT}/"))
        if lock.path.is_file() and not upgrade:
            made.write_text(lock.path.read_text())  # what it names is kept
        options = ["--generate-hashes", "--universal", "--python-version", PYTHON, "--no-header", "--no-annotate"]
        if lock.within:
            options += ["--constraint", str(ROOT / lock.within)]
        _run([*uv, "pip", "compile", "--quiet", str(asked), *options, "--output-file", str(made)], lock.name)
        lock.path.write_text(f"{lock.head()}\n{made.read_text()}")


def _try_install(uv: Sequence[str], lock: Lock, architecture: str) -> None:
    """Prove that every package has a wheel for Lambda on this architecture that the lock lists."""
    with tempfile.TemporaryDirectory() as folder:
        platform = ["--python-platform", f"{architecture}-manylinux_2_34", "--python-version", LAMBDA_PYTHON]
        options = [*platform, "--target", folder, "--dry-run", "--require-hashes", "--only-binary", ":all:"]
        command = [*uv, "pip", "install", "--quiet", *options, "-r", str(lock.path)]
        _run(command, f"{lock.name} for {architecture}")


def _run(command: list[str], what: str) -> None:
    ran = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False)  # noqa: S603
    if ran.returncode != 0:
        raise LockFailed(f"{what}: {' / '.join(ran.stderr.strip().splitlines()[-4:]) or 'uv failed'}")


def _environment() -> dict[str, str]:
    """uv reads none of pip's settings: hand it the index that pip is set to."""
    asked = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603
    index = os.environ.get("PIP_INDEX_URL") or (found.stdout.strip() if found.returncode == 0 else "")
    return {**os.environ, **({"UV_DEFAULT_INDEX": index} if index else {})}


def main(arguments: Sequence[str]) -> int:
    """The exit code of ``scripts/lock``."""
    from localdev.environments import TOOLS, EnvironmentFailed, ensure

    parser = argparse.ArgumentParser("scripts/lock", description="Locks what the requirement files name.")
    parser.add_argument("--check", action="store_true", help="write nothing: fail if a lock is out of date")
    parser.add_argument("--upgrade", action="store_true", help="take the newest releases that the files allow")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.check:
            for lock in LOCKS:
                lock.check()
            return 0
        ensure((TOOLS,), checked=False)  # its own lock may be what is out of date
        make([str(TOOLS.directory / "bin" / "uv")], chosen.upgrade)
    except (LockFailed, EnvironmentFailed, OSError) as problem:
        print(f"scripts/lock: {problem}", file=sys.stderr)
        return 1
    print(json.dumps({lock.name: len(locked(lock.path.read_text())) for lock in LOCKS}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

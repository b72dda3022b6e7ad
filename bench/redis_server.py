"""A Redis server for a peer: the machine's own, or Debian's packages, unpacked into the benches' directory.

Nothing is installed: the packages are downloaded by ``apt-get download``, which needs no rights, and taken apart there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.peer import home
from bench.product import free_ports

# redis-server is a name for a program of redis-tools; the others are the libraries that it loads.
PACKAGES = (
    "redis-server",
    "redis-tools",
    "libjemalloc2",
    "liblua5.1-0",
    "liblzf1",
    "lua-bitop",
    "lua-cjson",
)
DOWNLOAD_TIMEOUT_S = 120
READY_TIMEOUT_S = 10.0


class NoRedis(Exception):
    """Raised when no server can be had; the message says why."""


def program() -> tuple[Path, dict[str, str]]:
    """The server and the environment it needs. Raises NoRedis."""
    own = shutil.which("redis-server")
    if own is not None:
        return Path(own), {}
    unpacked = home("redis")
    found = unpacked / "usr" / "bin" / "redis-server"
    if not found.exists():
        _unpack(unpacked)
    libraries = ":".join(str(path) for path in sorted(unpacked.glob("usr/lib/*-linux-gnu*")))
    env = {"LD_LIBRARY_PATH": libraries}
    ran = subprocess.run([found, "--version"], env=env, capture_output=True, text=True, check=False)  # noqa: S603
    if ran.returncode != 0:
        raise NoRedis(f"the unpacked redis-server does not start: {ran.stderr.strip()[:200]}")
    return found, env


def _unpack(into: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NoRedis("there is no redis-server on PATH, and no apt-get and dpkg-deb to unpack Debian's")
    with TemporaryDirectory(prefix="chronowatch-redis-") as directory:
        command = ["apt-get", "download", "-q", *PACKAGES]
        ran = subprocess.run(  # noqa: S603
            command, cwd=directory, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
        )
        if ran.returncode != 0:
            raise NoRedis(f"apt-get could not download it: {ran.stderr.strip().splitlines()[-1:]}")
        fresh = Path(directory) / "unpacked"
        for package in sorted(Path(directory).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, fresh], check=True)  # noqa: S603, S607
        shutil.rmtree(into, ignore_errors=True)
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(fresh, into)


@contextmanager
def running() -> Iterator[tuple[int, int]]:
    """A server of its own on loopback, keeping nothing: its port and process id. Raises NoRedis."""
    path, env = program()
    (port,) = free_ports(1)
    with TemporaryDirectory(prefix="chronowatch-redis-") as directory:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory]
        process = subprocess.Popen(  # noqa: S603
            [path, *options], env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait_ready(path, env, port, process)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(READY_TIMEOUT_S)


def _wait_ready(path: Path, env: dict[str, str], port: int, process: subprocess.Popen[bytes]) -> None:
    client = path.with_name("redis-cli")
    until = time.monotonic() + READY_TIMEOUT_S
    while True:
        ran = subprocess.run(  # noqa: S603
            [client, "-h", "127.0.0.1", "-p", str(port), "ping"],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.stdout.strip() == "PONG":
            return
        if process.poll() is not None or time.monotonic() > until:
            raise NoRedis("redis-server does not answer")
        time.sleep(0.05)

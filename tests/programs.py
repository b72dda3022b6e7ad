"""Real programs that tests drive: found on PATH, else installed as Debian packages where that is allowed.

``program("chromium", package="chromium")`` is the path of the program. Where it can neither be found nor installed, the
test is skipped, and says why.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

INSTALL_TIMEOUT_S = 300
_FOLDERS = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")  # a shell's PATH may lack some


def program(name: str, *, package: str) -> Path:
    """The path of a program. Skips the test where it is not there and cannot be installed."""
    found = find(name)
    if found is not None:
        return found
    problem = _install(package, name)
    found = find(name)
    if found is None:
        pytest.skip(f"{name} is not on PATH, and Debian's package {package} cannot be installed: {problem}")
    return found


def find(name: str) -> Path | None:
    """The path of a program that is here."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS])
    found = shutil.which(name, path=path)
    return None if found is None else Path(found)


def _install(package: str, name: str) -> str:
    """Install a package, once however many test processes ask. What went wrong; empty when nothing did."""
    apt = shutil.which("apt-get")
    if apt is None:
        return "there is no apt-get"
    if os.geteuid() != 0:
        return "that takes root"
    # The lock is the machine's, as apt's own is, and not this checkout's.
    with open(Path(tempfile.gettempdir()) / "chronowatch-apt.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if find(name) is not None:
            return ""
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        said = ""
        for command in (["install", "-y", "--no-install-recommends", package], ["update"]) * 2:
            try:
                ran = subprocess.run(
                    [apt, "-qq", *command],
                    env=env,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=INSTALL_TIMEOUT_S,
                )
            except subprocess.TimeoutExpired:
                return f"apt-get took more than {INSTALL_TIMEOUT_S} s"
            if command[0] == "install" and ran.returncode == 0:
                return ""
            if ran.returncode != 0:
                said = (ran.stderr.strip().splitlines() or [f"apt-get ended with {ran.returncode}"])[-1]
        return said


# What the tests drive, by the package that has it. chromium does as well as its headless shell.
NEEDED = {
    "chromium-headless-shell": ("chromium-headless-shell", "chromium"),
    "mosquitto": ("mosquitto",),
    "nginx-light": ("nginx",),
    "rabbitmq-server": ("rabbitmq-server",),
    "redis-server": ("redis-server",),
}


def install_all() -> list[str]:
    """Install what is missing, before tests wait for it with a time limit. What could not be installed, a line each."""
    problems = []
    for package, names in NEEDED.items():
        if any(find(name) for name in names):
            continue
        problem = _install(package, names[0])
        if problem:
            problems.append(f"{package}: {problem}")
    return problems


if __name__ == "__main__":
    print(*(f"tests that need it are skipped: {line}" for line in install_all()), sep="\n", end="")

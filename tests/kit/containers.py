"""The image's processes without a daemon: its root, read-only, in mount namespaces of their own, as its user."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from infra.image import Image
from tests.kit.emulator import REGION

# The root is mounted anew to be read-only; the image's volumes and /tmp are memory. The last exec keeps the process id,
# so that a signal to what was started here is one to the process of the image.
PROGRAM = """set -e
root=$1 owner=$2 directory=$3; shift 3
mount --bind "$root" "$root"
mount -o remount,ro,bind "$root"
for place in /tmp $VOLUMES; do
  mount -t tmpfs -o "uid=${owner%:*},gid=${owner#*:},mode=700" tmpfs "$root$place"
done
mount --rbind /proc "$root/proc"
cd "$root"
exec env -u VOLUMES chroot --userspec="$owner" "$root" /bin/sh -c 'cd "$0"; exec "$@"' "$directory" "$@"
"""


def over_emulator(endpoint: str, port: int, key: str) -> dict[str, str]:
    """The settings of a container over an emulator. It serves on ``port``, and ``key`` is its admin's."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "CHRONO_HTTP_PORT": str(port),
        "CHRONO_AUTH": "apikey",
        "CHRONO_BOOTSTRAP_KEY": key,
        "CHRONO_PAGE_TOKEN_SECRET": "k" * 32,
    }


def missing() -> str | None:
    """Why containers cannot be run here; None: they can."""
    if os.geteuid() != 0:
        return "needs root, to mount and to change the root"
    if absent := [name for name in ("unshare", "chroot", "mount", "ldd") if shutil.which(name) is None]:
        return f"needs {', '.join(absent)}"
    tried = subprocess.run(["unshare", "-m", "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() or "unshare fails" if tried.returncode else None


class Containers:
    """Processes of one image over one root."""

    def __init__(self, root: Path, image: Image, env: Mapping[str, str]) -> None:
        self._root = root
        self._image = image
        self._env = env
        self._stack = ExitStack()

    def start(self, *command: str, **env: str) -> subprocess.Popen[str]:
        """A process of the image: its entry point with ``command``; its own where there is none."""
        return self._start([*self._image.entrypoint, *(command or self._image.command)], env, subprocess.DEVNULL)

    def run(self, command: Sequence[str], **env: str) -> subprocess.CompletedProcess[str]:
        """Run something in a container of its own to its end."""
        process = self._start(command, env, subprocess.PIPE)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def beside(self, process: subprocess.Popen[str], command: Sequence[str], **env: str) -> int:
        """The exit code of a command in the container of ``process``, as its health check is run."""
        given = [f"{name}={value}" for name, value in {**self._whole(env)}.items()]
        inside = ["chroot", f"--userspec={self._image.user}", str(self._root), "/bin/sh", "-c", 'cd "$0"; exec "$@"']
        entered = ["nsenter", "-m", "-t", str(process.pid), "env", "-i", *given, *inside, self._image.directory]
        return subprocess.run([*entered, *command], check=False, capture_output=True).returncode

    def close(self) -> None:
        """End what still runs."""
        self._stack.close()

    def _whole(self, env: Mapping[str, str]) -> dict[str, str]:
        return {**self._image.environment, **self._env, **env}

    def _start(self, command: Sequence[str], env: Mapping[str, str], output: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                "unshare",
                "-m",
                "sh",
                "-c",
                PROGRAM,
                "sh",
                str(self._root),
                self._image.user,
                self._image.directory,
                *command,
            ],
            env={**self._whole(env), "VOLUMES": " ".join(self._image.volumes)},
            stdout=output,
            stderr=output,
            text=True,
        )
        self._stack.callback(_end, process)
        return process


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()

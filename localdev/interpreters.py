"""The Pythons of this machine. Functions are packaged for Lambda's, which need not be the one that runs the tools.

Standard library only, and imported by path too: the emulator looks here for what its functions run on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

LAMBDA = "3.13"
# Where tools that manage Pythons put them, under the user's home.
_MANAGED = (".pyenv/versions/{}*/bin/python", ".local/share/uv/python/cpython-{}*/bin/python3")


@cache
def find(release: str) -> str | None:
    """The path of a Python of this release, such as ``3.13``; None when there is none that runs."""
    return next((path for path in _candidates(release) if _is(path, release)), None)


def lambda_python() -> str:
    """The release that an emulator's functions run on here: Lambda's, or this one's where Lambda's is not installed."""
    return LAMBDA if find(LAMBDA) is not None else "{}.{}".format(*sys.version_info[:2])


def _candidates(release: str) -> Iterator[str]:
    if release == "{}.{}".format(*sys.version_info[:2]):
        yield sys.executable
    on_path = shutil.which(f"python{release}")
    if on_path is not None:
        yield on_path
    home = Path(os.environ.get("HOME", "/"))
    for pattern in _MANAGED:
        for path in sorted(home.glob(pattern.format(release)), reverse=True):
            yield str(path)


def _is(path: str, release: str) -> bool:
    """Whether it runs, and is what its name says: a manager's stand-in may name a Python that is not there."""
    program = "import sys; print('{}.{}'.format(*sys.version_info[:2]))"
    ran = subprocess.run([path, "-I", "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    return ran.returncode == 0 and ran.stdout.strip() == release

"""The Python environments of a checkout, made once and made anew when their requirements change.

The emulator pins another botocore than the product, and the generators of clients pin other libraries, so each has an
environment of its own. All are installed from lock files, by hash. Standard library only: this runs on a bare Python
3.11. The suite runs on other releases too: each has a product's environment of its own, and shares the others.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from localdev.interpreters import find
from localdev.locks import DEVELOPMENT, EMULATED, GENERATORS, PYTHON, TOOLING, Lock, LockFailed

ROOT = Path(__file__).resolve().parent.parent
RUNNING = "{}.{}".format(*sys.version_info[:2])

_COMMAND = """#!{python}
# Made by localdev.environments: chronosctl of this checkout.
import sys
from pathlib import Path

beside = Path(sys.argv[0]).absolute().parents[2] / "clients" / "python" / "src"
sys.path[0] = str(beside if beside.is_dir() else {source!r})
from chronosctl.main import run

run()
"""


class EnvironmentFailed(Exception):
    """Raised when an environment cannot be made; the message is what pip said last."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A directory under the checkout, the lock file of what it holds, and the release of Python that it is for."""

    name: str
    lock: Lock
    release: str = PYTHON

    @property
    def directory(self) -> Path:
        return ROOT / self.name

    @property
    def python(self) -> Path:
        return self.directory / "bin" / "python"

    @property
    def _stamp(self) -> Path:
        return self.directory / "requirements.sha256"

    def digest(self) -> str:
        """What the environment is made of: the Python release and the lock file, to the byte."""
        content = [f"python {self.release}".encode(), self.lock.path.read_bytes()]
        return hashlib.sha256(b"\0".join(content)).hexdigest()

    def is_ready(self) -> bool:
        """Whether it was made from exactly these requirements."""
        return self.python.exists() and self._stamp.exists() and self._stamp.read_text() == self.digest()

    def make(self) -> None:
        """Make it, or bring it up to date while processes run in it. The stamp comes last: what was left half made is
        made to its end next time. Raises EnvironmentFailed."""
        self._stamp.unlink(missing_ok=True)
        if not self._works():
            shutil.rmtree(self.directory, ignore_errors=True)
            self._create()
        options = ["--quiet", "--no-input", "--require-hashes", "-r", self.lock.name]
        command = [str(self.python), "-m", "pip", "install", *options]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
        if ran.returncode != 0:
            lines = [line for line in ran.stderr.splitlines() if "ERROR" in line] or ran.stderr.splitlines()
            raise EnvironmentFailed(f"{self.name}: {' / '.join(lines[-2:]) or 'pip failed'}")
        self._stamp.write_text(self.digest())

    def _create(self) -> None:
        if self.release == RUNNING:
            venv.create(self.directory, with_pip=True)
            return
        python = find(self.release)
        if python is None:
            raise EnvironmentFailed(f"{self.name}: there is no Python {self.release}: install it, with venv")
        ran = subprocess.run([python, "-m", "venv", str(self.directory)], capture_output=True, text=True, check=False)  # noqa: S603
        if ran.returncode != 0:
            raise EnvironmentFailed(f"{self.name}: {(ran.stderr or ran.stdout).strip()}")

    def _works(self) -> bool:
        """Whether there is a Python of this release with pip in it."""
        if not self.python.exists():
            return False
        program = "import pip, sys; print(*sys.version_info[:2])"
        ran = subprocess.run([str(self.python), "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
        return ran.returncode == 0 and ran.stdout.split() == self.release.split(".")


def product_on(release: str) -> Environment:
    """The product's environment on a release of Python."""
    return Environment(".venv" if release == PYTHON else f".venv-{release}", DEVELOPMENT, release)


PRODUCT = product_on(RUNNING)  # so that what a test starts runs on what the test runs on
EMULATOR = Environment(".venv-emulator", EMULATED)
CLIENTS = Environment(".venv-clients", GENERATORS)  # made by the tests that need it
TOOLS = Environment(".venv-tools", TOOLING)  # made by scripts/lock and scripts/audit


def ensure(environments: Sequence[Environment], checked: bool = True) -> None:
    """Make those that are missing or out of date, side by side; callers that start together wait for one another.

    ``checked``: refuse a lock that was made from other requirements. Raises EnvironmentFailed.
    """
    try:
        for environment in environments if checked else ():
            environment.lock.check()
    except LockFailed as problem:
        raise EnvironmentFailed(str(problem)) from None
    if all(environment.is_ready() for environment in environments):
        _offer_command(environments)
        return
    with open(ROOT / ".venv.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [environment for environment in environments if not environment.is_ready()]
        if missing:
            names = " and ".join(environment.name for environment in missing)
            print(f"making {names} (once; takes a minute) …", file=sys.stderr, flush=True)
        with ThreadPoolExecutor(len(missing) or 1) as pool:
            list(pool.map(Environment.make, missing))
    _offer_command(environments)


def _offer_command(environments: Sequence[Environment]) -> None:
    """Put chronosctl of this checkout beside the product's Python, as ``pip install ./clients/python[cli]`` would."""
    if PRODUCT not in environments:
        return
    home = PRODUCT.directory.resolve()  # an environment may be a link, shared by checkouts: each finds its own source
    text = _COMMAND.format(python=home / "bin" / "python", source=str(ROOT / "clients" / "python" / "src"))
    command = home / "bin" / "chronosctl"
    if not command.exists() or _without_source(command.read_text()) != _without_source(text):
        fresh = command.with_name(f".chronosctl-{os.getpid()}")
        fresh.write_text(text)
        fresh.chmod(0o755)
        fresh.replace(command)


def _without_source(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if "sys.path[0]" not in line)


def go_on_inside(module: str, arguments: Sequence[str]) -> None:
    """Replace this process by ``module`` in the product's environment, under the same process id."""
    os.execv(PRODUCT.python, [str(PRODUCT.python), "-m", module, *arguments])  # noqa: S606


if __name__ == "__main__":  # python -m localdev.environments [--all] [--python RELEASE]: what a script needs
    wanted = product_on(sys.argv[sys.argv.index("--python") + 1]) if "--python" in sys.argv else PRODUCT
    try:
        ensure((wanted, EMULATOR) if "--all" in sys.argv else (wanted,))
    except (EnvironmentFailed, OSError) as problem:
        sys.exit(f"{sys.argv[0]}: {problem}")

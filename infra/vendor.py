"""What the Lambda functions need besides the standard library: wheels for Lambda's platform, unpacked and slimmed.

Chalice would fetch them anew at every change of the code, and for the Python that packages. Here they are fetched once
per lock file and target, by hash. What runs this file does not matter. botocore comes with the descriptions of the
services in use only. That is 4 MB in the place of 20, which saves time at every cold start.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

from packaging.markers import Marker

from infra import native
from localdev.locks import LAMBDA_PYTHON, SHIPPED, Lock, LockFailed

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "vendor"
ARM64, X86_64 = "arm64", "x86_64"
# As Lambda calls a processor, wheels do, and ELF files do.
MACHINES: Final = {ARM64: ("aarch64", native.AARCH64), X86_64: ("x86_64", native.X86_64)}
# Amazon Linux 2023, on which Python 3.12 and later run, has glibc 2.34. Newest first, as pip prefers the first.
PLATFORMS: Final = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux2014")
PROGRAMS = frozenset({"monty"})  # that a library starts
LICENCE_FILES = ("LICENSE", "LICENCE", "COPYING", "NOTICE")  # most licences ask that their text comes along
SERVICES = frozenset({"dynamodb", "events", "kms", "lambda", "s3", "secretsmanager", "sesv2", "sns", "sqs", "ssm"})
SERVICES |= {"stepfunctions", "sts", "xray"}
_LOCKED = re.compile(r"^(?P<pin>(?P<name>[A-Za-z0-9._-]+)(?:\[[a-z,-]+\])?==\S+)(?: ; (?P<marker>[^\\]+?))? \\$")


class VendorFailed(Exception):
    """Raised when the wheels cannot be had; the message is what pip said last."""


class Target(NamedTuple):
    """What the functions run on: a Python release and a processor, as Lambda calls it."""

    python: str = LAMBDA_PYTHON
    architecture: str = ARM64

    @property
    def runtime(self) -> str:
        """The property ``Runtime`` of a function."""
        return f"python{self.python}"

    @property
    def markers(self) -> dict[str, str]:
        """What the markers of requirements are judged by: Lambda's environment, and not that of who packages."""
        return {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": MACHINES[self.architecture][0],
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
            "extra": "",
        }


def this_machine(python: str) -> Target:
    """The target that runs here, for emulators. Raises VendorFailed on a processor that Lambda does not have."""
    for architecture, (machine, _) in MACHINES.items():
        if platform.machine() in (architecture, machine):
            return Target(python, architecture)
    raise VendorFailed(f"Lambda does not run on this machine's processor ({platform.machine()})")


def ensure(target: Target, lock: Lock = SHIPPED, without: Collection[str] = (), name: str = "") -> Path:
    """The directory of the unpacked wheels of ``lock``, but those ``without``, under ``name`` (that of the lock). They
    are made when the lock (or this file) changed. Raises VendorFailed."""
    try:
        lock.check()
    except LockFailed as problem:
        raise VendorFailed(str(problem)) from None
    folder = BUILD / f"{name or lock.name.removesuffix('.lock')}-{target.runtime}-{target.architecture}"
    made_of = [lock.path.read_bytes(), Path(__file__).read_bytes(), repr(sorted(without)).encode()]
    wanted = hashlib.sha256(b"\0".join(made_of)).hexdigest()
    stamp = folder.with_name(f"{folder.name}.sha256")
    if stamp.exists() and stamp.read_text() == wanted and folder.is_dir():
        return folder
    BUILD.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    # In a directory of its own until it is whole: another process may want the same at the same time.
    with tempfile.TemporaryDirectory(dir=BUILD) as work:
        made = Path(work) / "made"
        made.mkdir()
        _install(made, target, requirements(lock.path.read_text(), target, without))
        _slim(made)
        if problems := native.problems(made, target.python, MACHINES[target.architecture][1]):
            raise VendorFailed(f"{lock.name} for {target.runtime} on {target.architecture}: {'; '.join(problems[:3])}")
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    stamp.write_text(wanted)
    return folder


def requirements(text: str, target: Target, without: Collection[str] = ()) -> str:
    """The entries of a lock that are for ``target``, as pip reads them. Their markers were judged here, since pip
    judges them by the Python that it runs on."""
    kept: list[str] = []
    keeps = False
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if not line.startswith(" "):
            found = _LOCKED.match(line)
            if found is None:
                raise VendorFailed(f"a line of the lock cannot be read: {line[:80]}")
            marker = found["marker"]
            keeps = found["name"] not in without and (not marker or Marker(marker).evaluate(dict(target.markers)))
            line = f"{found['pin']} \\"
        if keeps:
            kept.append(line)
    return "".join(f"{line}\n" for line in kept)


def _install(folder: Path, target: Target, wanted: str) -> None:
    machine = MACHINES[target.architecture][0]
    platforms = [word for each in PLATFORMS for word in ("--platform", f"{each}_{machine}")]
    options = ["--quiet", "--no-input", "--no-compile", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    options += [*platforms, "--implementation", "cp", "--python-version", target.python, "--target", str(folder)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as asked:
        asked.write(wanted)
        asked.flush()
        command = [sys.executable, "-m", "pip", "install", *options, "-r", asked.name]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if ran.returncode != 0:
        lines = [line for line in ran.stderr.splitlines() if "ERROR" in line] or ran.stderr.splitlines()
        raise VendorFailed(" / ".join(lines[-2:]) or "pip failed")


def _slim(target: Path) -> None:
    for program in target.glob("bin/*"):
        if program.name not in PROGRAMS:
            program.unlink()
    shutil.rmtree(target / "cel_expr_python" / "ext", ignore_errors=True)  # 36 MB that no expression here uses
    for described in target.glob("botocore/data/*/"):
        if described.name not in SERVICES:
            shutil.rmtree(described)
    for examples in target.glob("botocore/data/**/examples-1.json*"):
        examples.unlink()
    for unused in ("boto3/data", "boto3/examples", "icalendar/tests"):
        shutil.rmtree(target / unused, ignore_errors=True)
    for compiler in ("cffi", "pycparser"):  # cryptography is compiled already, and needs _cffi_backend only
        shutil.rmtree(target / compiler, ignore_errors=True)
    for leftover in target.glob("*.dist-info/*"):
        kept = leftover.name == "METADATA" or leftover.name.upper().startswith(LICENCE_FILES)
        if leftover.is_file() and not kept:
            leftover.unlink()


if __name__ == "__main__":  # fetch them now, so that packaging needs no network later
    from infra.layers import LAYERS
    from localdev.interpreters import lambda_python

    try:
        for wanted in {Target(), this_machine(lambda_python())}:
            ensure(wanted)
            for layer in LAYERS:
                ensure(wanted, layer.lock, layer.without(wanted), f"layer-{layer.name}")
    except VendorFailed as problem:
        sys.exit(f"infra.vendor: {problem}")

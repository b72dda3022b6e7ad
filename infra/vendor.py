"""What the Lambda functions need besides the standard library: wheels for Lambda's platform, unpacked and slimmed.

Chalice would fetch them anew at every change of the code. Here they are fetched once per lock file, by hash, whatever
machine this is. botocore comes with the descriptions of the services in use only. That is 4 MB in the place of 20,
which saves time at every cold start.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from localdev.locks import SHIPPED, LockFailed

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "build" / "vendor"
PLATFORM = ("--platform", "manylinux2014_x86_64", "--implementation", "cp", "--python-version", "3.11")
LICENCE_FILES = ("LICENSE", "LICENCE", "COPYING", "NOTICE")  # most licences ask that their text comes along
SERVICES = frozenset(
    {"dynamodb", "events", "kms", "lambda", "s3", "secretsmanager", "sns", "sqs", "ssm", "stepfunctions", "sts", "xray"}
)


class VendorFailed(Exception):
    """Raised when the wheels cannot be had; the message is what pip said last."""


def ensure() -> Path:
    """The directory of the unpacked wheels, made when the lock (or this file) changed. Raises VendorFailed."""
    try:
        SHIPPED.check()
    except LockFailed as problem:
        raise VendorFailed(str(problem)) from None
    wanted = hashlib.sha256(SHIPPED.path.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    stamp = VENDOR.with_suffix(".sha256")
    if stamp.exists() and stamp.read_text() == wanted and VENDOR.is_dir():
        return VENDOR
    stamp.unlink(missing_ok=True)
    shutil.rmtree(VENDOR, ignore_errors=True)
    VENDOR.mkdir(parents=True)
    _install(VENDOR)
    _slim(VENDOR)
    stamp.write_text(wanted)
    return VENDOR


def _install(target: Path) -> None:
    options = ["--quiet", "--no-input", "--no-compile", "--only-binary", ":all:", *PLATFORM, "--target", str(target)]
    command = [sys.executable, "-m", "pip", "install", *options, "--require-hashes", "-r", str(SHIPPED.path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if ran.returncode != 0:
        lines = [line for line in ran.stderr.splitlines() if "ERROR" in line] or ran.stderr.splitlines()
        raise VendorFailed(" / ".join(lines[-2:]) or "pip failed")


def _slim(target: Path) -> None:
    shutil.rmtree(target / "bin", ignore_errors=True)
    for described in (target / "botocore" / "data").iterdir():
        if described.is_dir() and described.name not in SERVICES:
            shutil.rmtree(described)
    for examples in (target / "botocore" / "data").rglob("examples-1.json*"):
        examples.unlink()
    shutil.rmtree(target / "boto3" / "data", ignore_errors=True)
    shutil.rmtree(target / "boto3" / "examples", ignore_errors=True)
    shutil.rmtree(target / "icalendar" / "tests", ignore_errors=True)
    for compiler in ("cffi", "pycparser"):  # cryptography is compiled already, and needs _cffi_backend only
        shutil.rmtree(target / compiler, ignore_errors=True)
    for leftover in target.glob("*.dist-info/*"):
        kept = leftover.name == "METADATA" or leftover.name.upper().startswith(LICENCE_FILES)
        if leftover.is_file() and not kept:
            leftover.unlink()


if __name__ == "__main__":  # fetch them now, so that packaging needs no network later
    try:
        ensure()
    except VendorFailed as problem:
        sys.exit(f"infra.vendor: {problem}")

"""What the Lambda functions need besides the standard library: wheels for Lambda's platform, unpacked and slimmed.

Chalice would fetch them anew at every change of the code. Here they are fetched once per requirements file, whatever
machine this is. botocore comes with the descriptions of the services in use only. That is 4 MB in the place of 20,
which saves time at every cold start.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "build" / "vendor"
REQUIREMENTS = ROOT / "requirements.txt"
PLATFORM = ("--platform", "manylinux2014_x86_64", "--implementation", "cp", "--python-version", "3.11")
# Chalice's packager adds the runtime half of Chalice itself; the other half, and all it needs, stays out. croniter
# is the peer of tests and benches: the product never imports it.
NOT_SHIPPED = ("chalice", "croniter")
SERVICES = frozenset(
    {"dynamodb", "events", "lambda", "secretsmanager", "sns", "sqs", "ssm", "stepfunctions", "sts", "xray"}
)


class VendorFailed(Exception):
    """Raised when the wheels cannot be had; the message is what pip said last."""


def shipped_requirements() -> str:
    """The lines of requirements.txt that go into the zip."""
    lines = REQUIREMENTS.read_text().splitlines()
    return "\n".join(line for line in lines if line.partition("==")[0].strip() not in NOT_SHIPPED) + "\n"


def ensure() -> Path:
    """The directory of the unpacked wheels, made when requirements.txt (or this file) changed. Raises VendorFailed."""
    wanted = hashlib.sha256(shipped_requirements().encode() + Path(__file__).read_bytes()).hexdigest()
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
    listed = target.with_suffix(".txt")
    listed.write_text(shipped_requirements())
    options = ["--quiet", "--no-input", "--no-compile", "--only-binary", ":all:", *PLATFORM, "--target", str(target)]
    command = [sys.executable, "-m", "pip", "install", *options, "-r", str(listed)]
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
        if leftover.name != "METADATA" and leftover.is_file():
            leftover.unlink()


if __name__ == "__main__":  # fetch them now, so that packaging needs no network later
    try:
        ensure()
    except VendorFailed as problem:
        sys.exit(f"infra.vendor: {problem}")

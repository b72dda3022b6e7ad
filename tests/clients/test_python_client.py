"""The Python client against the product, on every Python that it is for and this machine has; and its own tests."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.clients.chronosctl_calls import ROOT, SOURCE
from tests.clients.served import serve

DRIVER = Path(__file__).parent / "drivers" / "python_client.py"
PYTHONS = {
    version: next(iter(sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))), None)
    for version in ("3.10", "3.12", "3.13")
}


@pytest.mark.parametrize("version", ["own", *PYTHONS])
def test_all_calls_work_as_functions_and_as_coroutines(version: str) -> None:
    python = Path(sys.executable) if version == "own" else PYTHONS[version]
    if python is None:
        pytest.skip(f"this machine has no Python {version}")
    with serve() as running:
        command = [python, "-W", "error", DRIVER, SOURCE, running.url]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


# What pytest consists of. It is pure Python, so that another release can run the copy of this one.
PYTEST = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py")


@pytest.mark.slow
@pytest.mark.parametrize("version", ["own", "3.13"])
def test_its_own_tests_pass(version: str, tmp_path: Path) -> None:
    """On 3.10 pytest needs packages that no environment here has: there the calls above are what is tried."""
    python = Path(sys.executable) if version == "own" else PYTHONS[version]
    if python is None:
        pytest.skip(f"this machine has no Python {version}")
    for name in PYTEST:
        found = find_spec(name)
        assert found is not None
        assert found.origin is not None
        place = Path(found.origin)
        place = place.parent if place.name == "__init__.py" else place
        (tmp_path / place.name).symlink_to(place)
    env = {**os.environ, "PYTHONPATH": "" if version == "own" else str(tmp_path), "COVERAGE_PROCESS_START": ""}
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        command, cwd=ROOT / "clients" / "python", env=env, capture_output=True, text=True, timeout=200, check=False
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-1000:]
    assert " passed" in ran.stdout

"""The Python client against the product, on every Python that it is for and that this machine has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.chronosctl_calls import SOURCE
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

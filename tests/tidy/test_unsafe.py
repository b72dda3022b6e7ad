"""bandit looks over the product. Its rules overlap with ruff's S, which run in the gate as well; it sees a few more."""

from __future__ import annotations

import subprocess
import sys

from tests.tidy.sources import ROOT

COMMAND = [sys.executable, "-m", "bandit", "--quiet", "--configfile", "pyproject.toml", "--recursive"]


def test_bandit_finds_nothing_in_the_product() -> None:
    ran = subprocess.run([*COMMAND, "chalicelib"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_bandit_would_find_something() -> None:
    ran = subprocess.run(
        [*COMMAND, "-"],
        cwd=ROOT,
        input="import pickle\npickle.loads(b'')\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "B301" in ran.stdout

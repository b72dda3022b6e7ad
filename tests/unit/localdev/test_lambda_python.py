"""What depends most on the release of Python, tried on Lambda's: with the very wheels that the functions are shipped.

``scripts/test --python 3.13`` runs the whole suite there. This is the part of it that the gate has time for.
"""

from __future__ import annotations

import os
import re
import subprocess
import warnings
from pathlib import Path

import pytest

from infra import vendor
from infra.layers import LAYERS
from localdev.interpreters import LAMBDA, find
from localdev.locks import DEVELOPMENT, locked
from tests.tidy.sources import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.long]
# TLS and sockets, dates and zones, native engines, what reads expressions and settings.
TRIED = (
    "tests/unit/adapters/http",
    "tests/unit/adapters/aws",
    "tests/unit/adapters/policies/test_rego.py",
    "tests/unit/adapters/targets/test_webhook.py",
    "tests/unit/adapters/targets/test_webhook_guard.py",
    "tests/unit/core/configuration",
    "tests/unit/core/recurrence/test_zones.py",
    "tests/unit/core/recurrence/test_expressions.py",
    "tests/unit/core/recurrence/test_rrule.py",
    "tests/unit/core/schedules",
    "tests/unit/core/security",
    "tests/unit/server/test_tls.py",
)
# What tests are written with, and is in no package. None of it is native but the engine of Rego.
_TOOLS = """
pytest pytest-timeout pytest-xdist execnet pluggy iniconfig packaging pygments hypothesis sortedcontainers attrs
chalice click pyyaml jmespath botocore boto3 python-dateutil six urllib3 celine-regorus trustme idna cryptography
cffi pycparser typing-extensions wcwidth httptools uvicorn h11 websockets
"""
TOOLS = frozenset(re.findall(r"\S+", _TOOLS))
LEAST = 1000  # so many tests at least


def shipped_and_tools() -> list[Path]:
    """Folders of what the functions have, in their layers too, and of what tests need besides."""
    target = vendor.this_machine(LAMBDA)
    layers = [vendor.ensure(target, each.lock, each.without(target), f"layer-{each.name}") for each in LAYERS]
    text = vendor.requirements(DEVELOPMENT.path.read_text(), target)
    tools = vendor.ensure(target, DEVELOPMENT, frozenset(locked(text)) - TOOLS, "test-tools")
    return [vendor.ensure(target), *layers, tools]


@pytest.mark.timeout(900)  # it may install wheels first
def test_the_shipped_wheels_pass_on_the_python_of_lambda() -> None:
    python = find(LAMBDA)
    if python is None:
        reason = f"python{LAMBDA} is not installed: no unit test was run on what functions run on"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CHRONO_", "PYTEST_"))}
    env = {**kept, "PYTHONPATH": os.pathsep.join(map(str, shipped_and_tools())), "PYTHONDONTWRITEBYTECODE": "1"}
    plugins = ["-p", "pytest_timeout", "-p", "no:cacheprovider"]  # the vendored ones say nothing of what they plug in
    ran = subprocess.run(
        [python, "-m", "pytest", "-q", *plugins, *TRIED],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ran.returncode == 0, f"{ran.stdout[-4000:]}\n{ran.stderr[-2000:]}"
    passed = [line for line in ran.stdout.splitlines() if " passed" in line]
    assert passed, ran.stdout[-2000:]
    assert int(passed[-1].partition(" passed")[0].split()[-1]) >= LEAST

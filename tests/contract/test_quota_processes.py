"""Real processes over one table: together they let through the quota, and not the quota each."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from infra.state import State
from tests.tidy.sources import ROOT

pytestmark = [pytest.mark.emulator, pytest.mark.slow, pytest.mark.long]

PROCESSES = 4
PER_S = 100
SECONDS = 10


def test_four_processes_under_one_quota_let_through_a_thousand_calls_in_ten_seconds(
    endpoint: str, resources: tuple[State, dict[str, str]]
) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.contract.quota_caller",
        endpoint,
        resources[0].stage,
        str(PER_S),
        str(SECONDS),
    ]
    started = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [json.loads(process.communicate(timeout=60)[0]) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    print(answers)
    # The machine decides when each process gets to begin and to end. Their clock is one: that of the machine.
    any_s = max(a["ended"] for a in answers) - min(a["began"] for a in answers)
    all_s = min(a["ended"] for a in answers) - max(a["began"] for a in answers)
    served_s = all_s - max(a["held_up"] for a in answers)
    assert 0.9 * PER_S * served_s <= sum(a["passed"] for a in answers) <= 1.1 * PER_S * any_s
    assert served_s > SECONDS / 2, "too little was seen to judge it"
    assert all(a["refused"] > 100 for a in answers)
    assert sum(a["asked"] for a in answers) < sum(a["passed"] + a["refused"] for a in answers) / 5

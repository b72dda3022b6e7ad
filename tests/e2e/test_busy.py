"""The meter of stalls sees a process that stands still, and gives no bound anything where none did."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.e2e.busy import TRIES, StallMeter, judged
from tests.e2e.dev_server import ROOT

DUE_S, STOPPED_S = 1.0, 1.0
# Like a test of lateness: something is due while the process is stopped, and is late by about that.
LATE = f"""
import time
from tests.e2e.busy import StallMeter
with StallMeter() as stalls:
    began_ms = time.time() * 1000
    due_ms = began_ms + {DUE_S * 1000}
    print("begun", flush=True)
    while time.time() * 1000 < due_ms:  # one long sleep may begin anew at SIGCONT
        time.sleep(0.005)
    came_ms = time.time() * 1000
    print(came_ms - due_ms, stalls.stalled_ms(due_ms, came_ms), stalls.stalled_ms(0, began_ms - 100))
"""


def test_a_process_that_was_stopped_gets_that_time_and_no_more() -> None:
    command = [sys.executable, "-c", LATE]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        os.kill(child.pid, signal.SIGSTOP)
        time.sleep(DUE_S + STOPPED_S)
        os.kill(child.pid, signal.SIGCONT)
        late_ms, stalled_ms, before_ms = map(float, child.stdout.readline().split())
    assert STOPPED_S * 900 <= stalled_ms <= late_ms
    assert late_ms - stalled_ms < 500
    assert before_ms == 0


def test_of_a_stall_only_what_lies_in_the_span_is_given() -> None:
    meter = StallMeter()
    meter.stalls += [(1_000.0, 3_000.0), (5_000.0, 5_200.0)]
    assert meter.stalled_ms(0, 9_000) == 2_200
    assert meter.stalled_ms(2_500, 5_100) == 600
    assert meter.stalled_ms(1_500, 1_600) == 100
    assert meter.stalled_ms(3_000, 5_000) == 0


@pytest.mark.parametrize(("stalled", "held"), [(False, 1), (True, TRIES)])
def test_only_a_trial_that_failed_in_a_stall_is_held_again(stalled: bool, held: int) -> None:
    meter, trials = StallMeter(), []

    def fails() -> None:
        trials.append(time.time() * 1000)
        if stalled:
            meter.stalls.append((0.0, trials[-1] + 1_000))
        raise AssertionError("late")

    with pytest.raises(AssertionError, match="late"):
        judged(meter, fails)
    assert len(trials) == held
    judged(meter, lambda: trials.clear())
    assert trials == []

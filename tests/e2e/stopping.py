"""What a stop must leave behind: nothing."""

from __future__ import annotations

import signal

from tests.e2e.dev_server import STOP_TIMEOUT_S, DevServer, is_alive


def check_stop(server: DevServer, number: signal.Signals) -> None:
    pids = server.pids()
    assert server.stop(number) < STOP_TIMEOUT_S
    assert server.process is not None
    assert server.process.returncode == 0
    assert not [name for name, pid in pids.items() if is_alive(pid)]
    assert server.pids() == {}
    assert "Traceback" not in server.output()

"""The process that listens for triggers. A worker keeps it running while there is any trigger to listen for.

It is a process of its own, since the clients of brokers are in no other: a worker that fires pays nothing for them.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from chalicelib.core.errors import ChronoError
from localdev.processes import GO, run_child

LOOK_S: Final = 2.0
REST_S: Final = 30.0  # between looks for a trigger while nothing is written
STOP_S: Final = 7.0  # what its lanes have in hand is settled by then (workers.listen.DRAIN_MS), or comes again

_log = logging.getLogger(__name__)


def prepare(on_terminal: bool = True) -> Callable[[threading.Event], None]:
    """Load what receives events; what is returned listens."""
    from chalicelib import bootstrap
    from chalicelib.adapters.aws import telemetry
    from chalicelib.workers.listen import Listeners
    from localdev import publisher, tables
    from localdev.server import warn_on_terminal

    chosen = bootstrap.settings()
    telemetry.configure_logging(chosen.log_level)
    if on_terminal:
        warn_on_terminal()

    def run(stopping: threading.Event) -> None:
        tables.bring_up_to_date(chosen)
        publisher.start(bootstrap.services, stopping)
        Listeners(bootstrap.services()).run(stopping)
        publisher.publish(bootstrap.services())
        bootstrap.services().tracer.flush()

    return run


class ListenerProcess:
    """The one that a worker keeps. It ends with the worker, however that ends: its standard input does."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._told = threading.Event()
        self._told.set()  # what was written before its start

    def look(self) -> None:
        """Something was written, which may be the first trigger to listen for; or the end has come."""
        self._told.set()

    def keep(self, stopping: threading.Event) -> None:
        """Start it when it is first needed, and again whenever it died, until the event is set; then end it."""
        while not stopping.wait(LOOK_S):
            if self._process is not None:
                if self._process.poll() is not None:
                    _log.error(
                        "the process that listens for triggers died (%s): starting it again", self._process.poll()
                    )
                    self._start()
                continue
            self._told.wait(REST_S)
            self._told.clear()
            if not stopping.is_set() and self._is_needed():
                self._start()
        self.end()

    def end(self) -> None:
        """Ask it to stop, and wait for that."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _is_needed(self) -> bool:
        from chalicelib import bootstrap
        from chalicelib.engine.triggers import listening

        try:
            return listening.is_needed(bootstrap.services())
        except ChronoError as problem:
            _log.warning("it is not known whether there is anything to listen for: %s", problem.detail)
            self._told.set()
            return False

    def _start(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE)  # noqa: S603
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(GO)
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # it died; the next look starts it again


def start(kept: ListenerProcess, stopping: threading.Event) -> threading.Thread:
    """Keep a listener for this worker, beside the caller."""
    keeping = threading.Thread(target=kept.keep, args=(stopping,), daemon=True, name="listen")
    keeping.start()
    return keeping


def wait(kept: ListenerProcess, keeping: threading.Thread, until: float) -> None:
    """Until the listener has ended, at most until the monotonic instant."""
    kept.look()
    keeping.join(max(0.0, until - time.monotonic()))


if __name__ == "__main__":
    run_child(prepare)

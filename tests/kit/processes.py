"""Processes of tests end with the run that needs them, also when that is killed: nothing is left on the machine.

What ``localdev`` starts reads its standard input for that; what a test starts through Python calls one of these.
"""

from __future__ import annotations

import os
import threading
import time

LOOK_EVERY_S = 0.5


def end_at_eof() -> None:
    """End this process when its standard input ends: whoever held the other end is gone."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def end_with_parent() -> None:
    """End this process when the one that started it has ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

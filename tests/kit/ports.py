"""Ports for the servers that tests start. A port that was given is given to nobody else while its process lives.

The system's own answer to "which port is free" holds for that moment only. A server takes seconds to listen, one that
was killed leaves its port until it is started again, and any connection may take a port of the system's range.
"""

from __future__ import annotations

import fcntl
import os
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import IO

from localdev.emulator import is_free

HOST = "127.0.0.1"
# Below what Linux and macOS give to connections.
FIRST_PORT, LAST_PORT = 15_000, 32_000

_given: set[int] = set()


def free_port(first: int = FIRST_PORT, last: int = LAST_PORT) -> int:
    """A port of this machine that nothing listens on. Raises OSError when there is none left."""
    for port in random.Random().sample(range(first, last + 1), last + 1 - first):
        if port not in _given and _is_locked_here(port):
            _given.add(port)
            if is_free(HOST, port):
                return port
    raise OSError(f"all ports from {first} to {last} are given or taken")


def _is_locked_here(port: int) -> bool:
    """Whether the port is this process's from now on: its byte of a file that the machine's runs share is locked."""
    try:
        fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


@cache
def _locks() -> IO[bytes]:
    return (Path(tempfile.gettempdir()) / f"chronowatch-test-ports-{os.getuid()}").open("ab")

"""Whoever asks for a port, nobody else has it."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit import ports

ROOT = Path(__file__).parents[2]
OF_THREE = "from tests.kit.ports import free_port; print(free_port(14_990, 14_992), flush=True); input()"


def test_no_port_is_given_twice() -> None:
    given = [ports.free_port() for _ in range(200)]
    assert len(set(given)) == len(given)
    assert all(ports.FIRST_PORT <= port <= ports.LAST_PORT for port in given)


def test_no_port_is_given_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="given or taken"):
        ports.free_port(taken.getsockname()[1], taken.getsockname()[1])


def test_processes_that_live_at_once_get_different_ports() -> None:
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", OF_THREE], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    try:
        given = [process.stdout.readline() for process in asking if process.stdout is not None]
    finally:
        for process in asking:
            process.communicate("\n", timeout=10)
    assert sorted(given) == ["14990\n", "14991\n", "14992\n"]

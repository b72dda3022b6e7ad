"""Whether a container's process works: a worker by its note, the API by asking."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from chalicelib import settings
from container import alive

ROOT = Path(__file__).resolve().parents[3]


def _chosen(data_dir: Path, port: int) -> settings.Settings:
    return settings.load({"CHRONO_DATA_DIR": str(data_dir), "CHRONO_HTTP_PORT": str(port)})


@pytest.mark.parametrize(("status", "wanted"), [(200, None), (401, None), (503, "GET /health answers 503")])
def test_the_api_is_asked(tmp_path: Path, status: int, wanted: str | None) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert alive.problem(_chosen(tmp_path, server.server_port), timeout_s=30) == wanted


def test_a_worker_is_alive_while_its_note_is_renewed(tmp_path: Path) -> None:
    note = tmp_path / "run" / f"{socket.gethostname()}{alive.ENDING}"
    note.parent.mkdir()
    note.touch()
    assert alive.problem(_chosen(tmp_path, 1)) is None
    old = time.time() - alive.STALE_S - 1
    os.utime(note, (old, old))
    # It may take seconds to get here.
    assert re.search(r"has not been seen for 3\d s", str(alive.problem(_chosen(tmp_path, 1))))


def test_containers_that_share_a_directory_are_not_taken_for_one_another(tmp_path: Path) -> None:
    alive.start(str(tmp_path), ("no such thread",), "worker-1")
    assert alive.problem(_chosen(tmp_path, 1), "worker-1") is None
    assert "the API does not answer" in str(alive.problem(_chosen(tmp_path, 1), "api-1"))
    old = time.time() - alive.FORGET_S - 1
    os.utime(tmp_path / "run" / "worker-1.alive", (old, old))
    alive.start(str(tmp_path), ("no such thread",), "worker-2")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["worker-2.alive"]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (
            [],
            "COMMAND: must be one of api, grpc, worker, listen, init, first-key, restored, resume, health, not nothing",
        ),
        (["serve"], "not serve"),
        (["--slot-gp=1s", "api"], "--slot-gp: is no option; did you mean --slot-gap?"),
        (["--slot-gap=11s", "health"], "SLOT_GAP: must be from 1s to 10s"),
    ],
)
def test_a_wrong_command_is_one_line(arguments: list[str], wanted: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "container", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert wanted in ended.stderr
    assert len(ended.stderr.splitlines()) == 1

"""Long work of chronosctl: a bar on a terminal, nothing in a pipe, and what becomes of it when it is cut off."""

from __future__ import annotations

import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from fcntl import ioctl
from pathlib import Path

import pytest

from tests.clients.chronosctl_calls import SOURCE, call
from tests.clients.served import Served, serve

BAR = re.compile(r"\r\x1b\[K([^\r\x1b]*)")
COUNT = 120
SECONDS = 3_000
LOG = '{"type":"log"}'


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A service with a file's schedules, one that runs each second, and executions that failed. Its clock goes on with
    each call, and bulk jobs with the clock."""
    with serve() as running:
        for _ in range(25):
            running.house.end(running.house.fire(), "failed")
        running.house.make(name="often", expr="rate:1s", target={"type": "log"})
        running.edge.before_call = lambda: running.house.clock.advance(1)
        yield running


@pytest.fixture
def file(tmp_path: Path) -> str:
    lines = [f"  - {{name: file-{n:03d}, type: RATE, expr: rate:1h, target: {{type: log}}}}" for n in range(COUNT)]
    path = tmp_path / "schedules.yaml"
    path.write_text("version: 1\nschedules:\n" + "\n".join(lines) + "\n")
    return str(path)


def _backfill(running: Served) -> list[str]:
    now_ms = running.house.clock.now_ms()
    span = ["--from-unix-ms", str(now_ms - SECONDS * 1000), "--to-unix-ms", str(now_ms - 1)]
    return ["schedules", "backfill", "often", *span]


def _on_a_terminal(url: str, words: list[str], **named: str) -> tuple[int, str, str]:
    """The exit code, what went to a pipe, and what to a terminal of 80 columns."""
    main, terminal = pty.openpty()
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {**os.environ, "CHRONO_URL": url, "PYTHONPATH": str(SOURCE), "COVERAGE_PROCESS_START": "", "TERM": "xterm"}
    env.pop("COLUMNS", None)
    command = [sys.executable, "-m", "chronosctl", *words]
    with subprocess.Popen(command, env={**env, **named}, stdout=subprocess.PIPE, stderr=terminal, text=True) as child:
        os.close(terminal)
        assert child.stdout is not None
        out = child.stdout.read()
        seen = b""
        while part := _read(main):
            seen += part
        code = child.wait(60)
    os.close(main)
    return code, out, seen.decode()


def _read(main: int) -> bytes:
    try:
        return os.read(main, 65_536)
    except OSError:  # the other end is closed
        return b""


def _bars(seen: str) -> list[str]:
    return [each for each in BAR.findall(seen) if each]


def test_each_long_work_shows_how_far_it_is_and_leaves_nothing_behind(served: Served, file: str) -> None:
    bulk = ["executions", "bulk", "--action", "retry", "--filter", '{"state":"failed"}', "--wait", "-o", "json"]
    for words, about, ends in (
        (["apply", "-f", file, "--source", "ops"], "applying", f"{COUNT} of {COUNT}"),
        (["plan", "-f", file, "--source", "ops"], "comparing", f"{COUNT} of {COUNT}"),
        (["export", "--source", "ops"], "exporting", ""),
        ([*_backfill(served), "--yes"], "backfilling, seconds", ""),
        (bulk, "working", "25 of 25"),
    ):
        code, out, seen = _on_a_terminal(served.url, words)
        bars = _bars(seen)
        assert (code, bool(out)) == (0, True), (words, seen)
        assert any(each.startswith(about) and each.endswith(ends) for each in bars), (words, seen)
        assert seen.endswith("\r\x1b[K")
        assert BAR.sub("", seen) == ""
        assert max(map(len, bars)) < 80
        assert "\x1b" not in out
    job = json.loads(out)
    assert (job["state"], job["matched"], job["done"], job["failed"]) == ("completed", 25, 25, 0)


@pytest.mark.parametrize("named", [{"TERM": "dumb"}, {}], ids=["dumb", "pipe"])
def test_nothing_moves_where_nobody_can_see_it(served: Served, file: str, named: Mapping[str, str]) -> None:
    if named:
        code, _, err = _on_a_terminal(served.url, ["plan", "-f", file, "--source", "other"], **named)
    else:
        said = call("plan", "-f", file, "--source", "other", url=served.url)
        code, err = said.code, said.err
    assert (code, err) == (2, "")


def test_a_bar_fits_its_terminal() -> None:
    from chronosctl.progress import Progress, bar

    progress = Progress("applying", 1200)
    progress.done = 300
    assert bar(progress, 10.0, 79) == f"applying [{'#' * 7:<30}] 300 of 1,200, 30 s left"
    assert bar(progress, 10.0, 30) == "applying: 300 of 1,200, 30 s left"[:30]
    progress.done = 100
    assert bar(progress, 10.0, 79) == f"applying [{'##':<30}] 100 of 1,200"
    assert bar(Progress("exporting"), 1.0, 79) == "exporting: 0"


def test_a_long_backfill_asks_first_and_goes_on_where_it_was_cut_off(served: Served) -> None:
    house = served.house
    schedule = house.make(name="cut", expr="rate:1s", target={"type": "log"})
    now_ms = house.clock.now_ms()
    span = ["--from-unix-ms", str(now_ms - SECONDS * 1000), "--to-unix-ms", str(now_ms - 1)]
    words = ["schedules", "backfill", "cut", *span]
    refused = call(*words, url=served.url)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.splitlines()[0] == "error: the span holds more than 1,000 instants"
    served.calls.clear()

    def away() -> None:
        house.clock.advance(1)
        if sum(status == 202 for _, path, status in served.calls if path.endswith(":backfill")) == 2:
            raise RuntimeError("the service has gone")

    served.edge.before_call = away
    cut = call(*words, "--yes", url=served.url)
    served.edge.before_call = lambda: house.clock.advance(1)
    assert "call it again to go on" in cut.err
    assert cut.code != 0
    done = _executions(served, schedule["id"])
    assert 0 < done < SECONDS
    again = call(*words, "--yes", "-o", "json", url=served.url)
    assert (again.code, json.loads(again.out)) == (0, {"count": SECONDS - done})
    assert _executions(served, schedule["id"]) == SECONDS


def _executions(served: Served, schedule_id: str) -> int:
    return len(call("schedules", "executions", schedule_id, "-o", "name", url=served.url).out.split())

"""Lists of chronosctl: an array in each of them, and a stream however long, against the product."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.core.changes.change_log import Arrived, Change
from chalicelib.core.schedules.schedule import Key
from chalicelib.workers import changes
from tests.clients import chronosctl_sessions as sessions
from tests.clients.chronosctl_calls import SOURCE, call
from tests.clients.served import Served, serve
from tests.kit import records

MANY = 10_000
PAGE_ITEMS = 100
# What a list of them all may take beyond a list of one page. Their JSON has 10 MB, and far more as objects.
GROWTH_MAX_KIB = 5 * 1024
COUNTED = {
    "jsonl": lambda text: len(text.splitlines()),
    "table": lambda text: len(text.splitlines()) - 1,
    "json": lambda text: len(json.loads(text)),
}
STARTED = "from chronosctl.main import main; import sys; code = main(sys.argv[1:]); "
PEAK = "print(*(l for l in open('/proc/self/status') if l.startswith('VmHWM')), file=sys.stderr); sys.exit(code)"


@pytest.fixture(scope="module")
def stored() -> Iterator[Served]:
    """A service with 10,000 schedules."""
    with serve() as running:
        create = running.house.services.stores.schedules.create
        for n in range(MANY):
            create(records.schedule(Key("default", f"{n:026d}"), name=f"s{n:05d}"))
        yield running


@pytest.fixture
def many(stored: Served) -> Iterator[Served]:
    """The same, of which nobody has asked anything."""
    stored.calls.clear()
    yield stored
    stored.edge.before_call = lambda: None


def _env(running: Served) -> dict[str, str]:
    return {**os.environ, "CHRONO_URL": running.url, "PYTHONPATH": str(SOURCE), "COVERAGE_PROCESS_START": ""}


@pytest.mark.parametrize("form", ["jsonl", "name", "table", "json", "yaml"])
def test_the_first_page_is_printed_before_the_second_comes(many: Served, form: str) -> None:
    page_read = threading.Event()
    many.edge.before_call = lambda: None if not many.calls else _wait(page_read)
    words = [sys.executable, "-m", "chronosctl", "schedules", "list", "-o", form]
    with subprocess.Popen(words, env=_env(many), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            text = ""
            while f"s{MANY - PAGE_ITEMS:05d}" not in text:  # the last of the first page: newest come first
                line = child.stdout.readline()
                assert line, child.stderr.read()
                text += line
            assert len(many.calls) == 1
            child.stdout.close()  # as `head` does, which has what it wanted
            page_read.set()
            assert (child.wait(60), child.stderr.read()) == (0, "")
            assert len(many.calls) == 2
        finally:
            page_read.set()
            child.kill()


def _wait(event: threading.Event) -> None:
    assert event.wait(120)


def test_head_ends_a_list_in_a_shell_quietly(many: Served) -> None:
    line = f"set -o pipefail; {sys.executable} -m chronosctl schedules list -o name | head -1"
    ran = subprocess.run(["bash", "-c", line], env=_env(many), capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"s{MANY - 1:05d}\n", "")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell a program's peak")
@pytest.mark.parametrize("form", list(COUNTED))
def test_a_list_of_ten_thousand_takes_the_memory_of_a_page(many: Served, form: str) -> None:
    taken = []
    for limit, calls in ((PAGE_ITEMS, 1), (MANY, MANY // PAGE_ITEMS)):
        many.calls.clear()
        words = ["schedules", "list", "-o", form, "--limit", str(limit)]
        ran = subprocess.run(
            [sys.executable, "-c", STARTED + PEAK, *words], env=_env(many), capture_output=True, text=True, check=False
        )
        assert (ran.returncode, len(many.calls)) == (0, calls), ran.stderr
        assert COUNTED[form](ran.stdout) == limit
        taken.append(int(ran.stderr.split()[1]))
    assert taken[1] - taken[0] < GROWTH_MAX_KIB


def test_every_list_is_an_array() -> None:
    """The sessions call every command once: here what those say that only have items."""
    from chronosctl.commands import operations

    text = (sessions.GOLDEN / "every-json.txt").read_text()
    said = {}
    for part in text.split("$ chronosctl ")[1:]:
        head, _, out = part.partition("\n")
        said[tuple(head.split()[:2])] = out
    lists = {
        (each["noun"], each["verb"])
        for each in operations()
        if each.get("paged") or each.get("listed") or each.get("by_position")
    }
    assert len(lists) > 20
    assert {name for name in lists if not said[name].startswith(("[\n", "[]\n"))} == set()


def test_a_log_is_read_to_its_end_or_says_where_that_is() -> None:
    with serve() as running:
        house = running.house
        fired = house.fire(name="f")
        begin = call("changes", "list", "-o", "json", url=running.url)
        assert begin.out == "[]\n"
        at = begin.err.split(":")[0].split()[-1]
        noted = [
            Arrived(n, "default", Change("execution", fired, house.clock.now_ms(), "anonymous", house.execution(fired)))
            for n in range(1, 8)
        ]
        changes.record(house.services, "s", noted)
        for limit, count in (("", 7), ("5", 5), ("0", 0)):
            how = ["--limit", limit] if limit else []
            said = call("changes", "list", "--after", at, "-o", "json", *how, url=running.url)
            assert (said.code, len(json.loads(said.out)), said.err) == (0, count, "")

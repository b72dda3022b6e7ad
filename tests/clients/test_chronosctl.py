"""chronosctl against the product: every command in every form of output, and what a shell relies on.

What commands print lies in ``golden/``. After a change that is meant, ``python -m tests.clients.test_chronosctl``
writes it anew; the difference is then for a person to read.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest

from chalicelib.core.changes.change_log import Arrived, Change
from chalicelib.workers import changes
from tests.clients import chronosctl_sessions as sessions
from tests.clients.chronosctl_calls import ROOT, SOURCE, call
from tests.clients.chronosctl_sessions import LOG
from tests.clients.served import KEY, KEYS_ASKED, Served, serve

SESSIONS = (*(f"every-{form}" for form in ("table", "json", "yaml", "jsonl", "name")), "wrong", "wrong-json")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve() as running:
        yield running


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """An empty folder that is the caller's own."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def _session(name: str, folder: Path) -> str:
    with serve() as running:
        if name.startswith("wrong"):
            return sessions.wrong(running, *(("-o", "json") if name == "wrong-json" else ()))
        sessions.prepare(running, folder)
        return sessions.every(running, name.removeprefix("every-"))


@pytest.mark.parametrize("name", SESSIONS)
def test_every_command_prints_what_it_always_printed(name: str, here: Path) -> None:
    assert _session(name, here) == (sessions.GOLDEN / f"{name}.txt").read_text()


def test_no_command_is_left_out_of_the_sessions() -> None:
    from chronosctl.main import root

    def leaves(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if not isinstance(command, click.Group):
            yield path
            return
        if command.invoke_without_command:
            yield path
        at = click.Context(command, info_name=path[-1] if path else "chronosctl")
        for name in command.list_commands(at):
            found = command.get_command(at, name)
            assert found is not None
            yield from leaves(found, (*path, name))

    called = {words[:n] for words in map(tuple, sessions.EVERY) for n in (1, 2, 3)}
    left_out = {path for path in leaves(root(), ()) if path not in called | sessions.ENDLESS}
    assert left_out == set()


def test_an_expression_may_stand_first(served: Served) -> None:
    made = call("schedules", "create", "0 3 * * *", "--name", "first", "--target", LOG, "-o", "json", url=served.url)
    assert (json.loads(made.out)["type"], json.loads(made.out)["expr"]) == ("CRON", "0 3 * * *")


def test_exit_codes_tell_what_went_wrong(served: Served) -> None:
    wanted = {"nobody": 3, "01KB0E5T0QJ8Z3V7M4N2X9YRSC": 3}
    assert {name: call("schedules", "get", name, url=served.url).code for name in wanted} == wanted
    assert call("schedules", "list", url="http://127.0.0.1:9").code == 6
    with serve(KEYS_ASKED) as closed:
        assert call("schedules", "list", url=closed.url).code == 4
        token = {"CHRONO_TOKEN": KEY}
        assert call("schedules", "list", url=closed.url, env=token).code == 0


@pytest.mark.parametrize("words", [(), ("schedules",), ("import",)], ids=["program", "noun", "verb"])
def test_a_call_without_a_command_shows_the_commands(words: tuple[str, ...]) -> None:
    said = call(*words)
    assert (said.code, said.err) == (2, "")
    assert said.out.startswith(f"Usage: {' '.join(('chronosctl', *words))} ")
    assert "Commands:" in said.out


def test_contexts_are_kept_apart_from_what_the_environment_names(served: Served, tmp_path: Path) -> None:
    env = {"CHRONOSCTL_CONFIG": str(tmp_path / "contexts.json")}
    made = call("context", "set", "prod", "--url", served.url, "--token-stdin", env=env, stdin="cw_secret\n")
    assert made.code == 0
    assert (tmp_path / "contexts.json").stat().st_mode & 0o077 == 0
    assert "cw_secret" not in made.out + call("context", "list", "-o", "json", env=env).out
    assert call("schedules", "list", env=env).code == 0
    assert call("--context", "nobody", "schedules", "list", env=env).code == 2
    seen: list[str | None] = []
    with _listening(lambda handler: seen.append(handler.headers.get("Authorization"))) as url:
        call("time", env={**env, "CHRONO_URL": url})
        call("time", env={**env, "CHRONO_URL": url, "CHRONO_TOKEN": "other"})
        call("time", env={**env, "CHRONO_URL": url, "CHRONO_TOKEN": " cw_of-a-file\r\n"})
    assert seen == [None, "Bearer other", "Bearer cw_of-a-file"]


class _listening:
    """A server that answers every call with an empty object."""

    def __init__(self, take: Any) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                take(self)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def do_POST(self) -> None:
                self.body = self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *failure: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


# -- files


def _file(folder: Path, count: int, expr: str = "0 2 * * *") -> str:
    lines = [f'  - {{name: file-{n:03d}, type: CRON, expr: "{expr}", target: {{type: log}}}}' for n in range(count)]
    path = folder / "schedules.yaml"
    path.write_text("version: 1\nschedules:\n" + "\n".join(lines) + "\n")
    return str(path)


def test_a_plan_shows_firings_and_an_unchanged_one_writes_nothing(tmp_path: Path) -> None:
    with serve() as running:
        file = _file(tmp_path, 2)
        assert call("plan", "-f", file, url=running.url).code == 2
        assert call("apply", "-f", file, url=running.url).code == 0
        running.calls.clear()
        assert call("plan", "-f", file, url=running.url).code == 0
        assert {path for method, path, _ in running.calls if method != "GET"} == {"/api/v1/schedules:import"}
        before = running.house.call("GET", "/api/v1/schedules").json["items"]
        assert call("apply", "-f", file, url=running.url).code == 0
        assert running.house.call("GET", "/api/v1/schedules").json["items"] == before
        said = call("plan", "-f", _file(tmp_path, 2, "0 3 * * *"), "-o", "json", "--days", "10", url=running.url)
        plan = json.loads(said.out)
        assert said.code == 2
        assert {kind: len(found) for kind, found in plan["firings"].items()} == {"added": 0, "removed": 0, "moved": 20}
        first = plan["firings"]["moved"][0]
        assert first["to_unix_ms"] - first["from_unix_ms"] == 3_600_000
        assert plan["items"][0]["changes"] == {"expr": {"from": "0 2 * * *", "to": "0 3 * * *"}}


def test_pruning_takes_only_what_the_source_made_and_much_of_it_only_with_leave(tmp_path: Path) -> None:
    with serve() as running:
        call("schedules", "create", "--expr", "rate:1h", "--name", "by-hand", "--target", LOG, url=running.url)
        assert call("apply", "-f", _file(tmp_path, 10), "--source", "ops", url=running.url).code == 0
        prune = ("apply", "--source", "ops", "--prune", "-f")
        assert call(*prune, _file(tmp_path, 8), url=running.url).code == 0
        refused = call(*prune, _file(tmp_path, 5), url=running.url)
        assert (refused.code, len(running.house.call("GET", "/api/v1/schedules").json["items"])) == (1, 9)
        assert "20 %" in refused.err
        assert call(*prune, _file(tmp_path, 5), "--yes-prune", url=running.url).code == 0
        names = call("schedules", "list", "-o", "name", url=running.url).out.split()
        assert sorted(names) == ["by-hand", *(f"file-{n:03d}" for n in range(5))]


def test_an_apply_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    with serve() as running:
        file = _file(tmp_path, 120)
        with _breaking(running.url, after=2) as url:  # 50 in each call: the third finds nobody
            broken = call("apply", "-f", file, url=url)
        assert (broken.code, "applied 100 of 120" in broken.err) == (6, True)
        again = call("apply", "-f", file, url=running.url)
        assert "20 created, 0 updated, 0 deleted, 100 unchanged" in again.out
        assert len(call("schedules", "list", "-o", "name", url=running.url).out.split()) == 120


class _breaking:
    """A way to a service that breaks after some writes."""

    def __init__(self, service: str, after: int) -> None:
        writes: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.command == "POST" and "dry_run" not in self.path:
                    writes.append(self.path)
                if len(writes) > after:
                    self.close_connection = True
                    return
                asked = urllib.request.Request(service + self.path, body or None, method=self.command)
                for name in ("Content-Type", "Idempotency-Key"):
                    if self.headers.get(name):
                        asked.add_header(name, self.headers[name])
                with urllib.request.urlopen(asked) as answer:
                    content = answer.read()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *failure: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_a_refused_entry_is_named_by_its_line_and_nothing_is_written(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "version: 1\nschedules:\n  - name: good\n    expr: rate:1h\n    type: RATE\n"
        "  - name: bad\n    type: RATE\n    expr: often\n"
    )
    said = call("apply", "-f", str(path), url=served.url)
    assert (said.code, f"{path}:8: invalid_field: expr" in said.out) == (1, True)
    assert call("schedules", "get", "good", url=served.url).code == 3


def test_an_entry_that_is_no_schedule_is_named_by_its_line(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "shapes.yaml"
    path.write_text(
        "version: 1\nschedules:\n"
        + "".join(f"  - {{name: s{n}, type: RATE, expr: 'rate:1h'}}\n" for n in range(60))
        + "  - name: wrong\n    type: RATE\n    expr: rate:1h\n    nonsense: 3\n"
    )
    for words in (("plan",), ("apply",)):
        said = call(*words, "-f", str(path), url=served.url)
        assert (said.code, said.out) == (1, "")
        assert f"error: {path}:66: wrong: nonsense: is not a known field\n" in said.err
    problem = json.loads(call("plan", "-f", str(path), "-o", "json", url=served.url).err)
    assert (problem["code"], problem["status"], problem["errors"][0]["field"]) == ("invalid_field", 422, "nonsense")
    assert call("schedules", "get", "s0", url=served.url).code == 3


def test_a_schedule_that_two_entries_name_is_refused_however_far_they_lie_apart(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(
        "version: 1\nschedules:\n"
        + "".join(f"  - {{name: s{n}, type: RATE, expr: 'rate:1h'}}\n" for n in range(60))
        + "  - {name: s0, type: RATE, expr: 'rate:2h'}\n"
    )
    with serve() as running:
        said = call("apply", "-f", str(path), url=running.url)
        assert (said.code, said.err.splitlines()[0]) == (
            2,
            f"error: {path}:63: name s0 is used by another schedule, at {path}:3",
        )
        assert call("schedules", "list", "-o", "name", url=running.url).out == ""
        path.write_text(
            "schedules:\n" + "".join(f"  - {{name: s, owner: o{n}, type: RATE, expr: 'rate:1h'}}\n" for n in "ab")
        )
        assert call("plan", "-f", str(path), url=running.url).code == 2


def test_an_export_of_a_source_is_filtered_by_a_tag_too(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        "schedules:\n  - {name: a, type: RATE, expr: 'rate:1h', tags: [x]}\n"
        "  - {name: b, type: RATE, expr: 'rate:1h'}\n"
    )
    with serve() as running:
        assert call("apply", "-f", str(path), "--source", "s", url=running.url).code == 0
        said = call("export", "--source", "s", "--tag", "x", "-o", "jsonl", url=running.url)
        assert [json.loads(line)["name"] for line in said.out.splitlines()] == ["a"]
        assert json.loads(said.out)["tags"] == ["x"]
        assert call("export", "--source", "t", "--tag", "x", "-o", "name", url=running.url).out == ""


def test_other_schedulers_files_become_one_that_applies(served: Served, tmp_path: Path) -> None:
    crontab = tmp_path / "crontab"
    crontab.write_text("MAILTO=me\nCRON_TZ=Europe/Paris\n*/5 * * * * /bin/a --x\n99 * * * * b\n@daily\tc\n@reboot d\n")
    said = call("import", "crontab", str(crontab), "--target", LOG)
    assert [line.partition(":")[0] for line in said.err.splitlines()] == ["line 1", "line 4", "line 6"]
    (tmp_path / "made.yaml").write_text(said.out)
    assert call("apply", "-f", str(tmp_path / "made.yaml"), url=served.url).code == 0
    made = json.loads(call("schedules", "get", "a-x", "-o", "json", url=served.url).out)
    assert (made["expr"], made["timezone"], made["payload"]) == (
        "*/5 * * * *",
        "Europe/Paris",
        {"command": "/bin/a --x"},
    )


def test_eventbridge_counts_days_from_sunday_as_one(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    rules = [
        {"Name": "week", "ScheduleExpression": "cron(0 12 ? * 2-6 *)"},
        {"Name": "often", "ScheduleExpression": "rate(5 minutes)", "State": "DISABLED"},
        {"Name": "once", "ScheduleExpression": "at(2027-01-01T00:00:00)"},
        {"Name": "event", "EventPattern": "{}"},
    ]
    path.write_text(json.dumps({"Rules": rules}, indent=1))
    said = call("import", "eventbridge", str(path))
    assert [line for line in said.out.splitlines() if "expr" in line] == [
        "  expr: 0 12 * * 1-5",
        "  expr: rate:5m",
        "  expr: at:2027-01-01T00:00:00Z",
    ]
    assert said.err.startswith("line ")


def test_an_eventbridge_schedule_keeps_what_a_schedule_here_can_hold(served: Served, tmp_path: Path) -> None:
    bus = "arn:aws:events:eu-west-1:1:event-bus/shop"
    rules: list[dict[str, Any]] = [
        {
            "Name": "bounded",
            "ScheduleExpression": "rate(1 hour)",
            "StartDate": "2027-12-01T00:00:00Z",
            "EndDate": "2028-01-01T01:00:00+01:00",
            "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15},
            "Target": {
                "Arn": bus,
                "RetryPolicy": {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 3600},
            },
        },
        {"Name": "unbounded", "ScheduleExpression": "rate(1 hour)", "StartDate": "soon"},
        {"Name": "strange", "ScheduleExpression": "rate(1 hour)", "Targets": [{"Arn": "arn:aws:ecs:r:1:task/x"}, {}]},
    ]
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"Schedules": rules}))
    said = call("import", "eventbridge", str(path))
    assert said.err.splitlines() == [
        "line 1: unbounded: StartDate: 'soon' is not understood",
        "line 1: strange: its target arn:aws:ecs:r:1:task/x is of no kind that is known here: --target names another",
        "line 1: strange: of its 2 targets the first is taken",
    ]
    (tmp_path / "made.yaml").write_text(said.out)
    assert call("apply", "-f", str(tmp_path / "made.yaml"), url=served.url).code == 0
    made = json.loads(call("schedules", "get", "bounded", "-o", "json", url=served.url).out)
    assert (made["start_at_unix_ms"], made["end_at_unix_ms"]) == (1827619200000, 1830297600000)
    assert (made["jitter_ms"], made["catch_up_window_ms"]) == (900_000, 3_600_000)
    assert (made["retry_policy"]["max_attempts"], made["target"]) == (100, {"type": "eventbridge", "bus": "shop"})


def test_cronjobs_speak_the_cron_of_kubernetes(tmp_path: Path) -> None:
    said = [
        "{schedule: '@every 1h30m', suspend: true}",
        "{schedule: '0 0 ? * *', startingDeadlineSeconds: 60}",
        "{schedule: '@midnight', jobTemplate: [1]}",
        "{schedule: '@every 1.5h'}",
        "{schedule: '@often'}",
        "{schedule: '0 0 * * *', startingDeadlineSeconds: soon}",
        "[1]",
    ]
    path = tmp_path / "jobs.yaml"
    path.write_text("\n---\n".join(f"{{kind: CronJob, spec: {each}}}" for each in said))
    made = call("import", "k8s", str(path))
    assert [line for line in made.out.splitlines() if "expr" in line] == [
        "  expr: rate:5400s",
        "  expr: 0 0 * * *",
        "  expr: '@midnight'",
    ]
    assert made.err.splitlines() == [
        "line 7: '@every 1.5h' is not understood",
        "line 9: '@often' is not understood",
        "line 11: startingDeadlineSeconds: 'soon' is no whole number",
        "line 13: it has 0 of the five fields",
    ]


def test_declared_schedules_are_made_so(served: Served, tmp_path: Path) -> None:
    (tmp_path / "shop_jobs.py").write_text(
        "from chronowatch import schedule\n\n\n"
        '@schedule("0 2 * * *", timezone="Europe/Paris", target={"type": "log"})\n'
        "def nightly_report(firing): ...\n\n\napp = object()\n"
    )
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert call("sync", "shop_jobs:app", url=served.url).code == 2
        assert call("sync", "shop_jobs:app", "--yes", url=served.url).code == 0
        assert call("sync", "shop_jobs:app", url=served.url).code == 0
    finally:
        os.chdir(here)
    assert call("schedules", "get", "nightly-report", url=served.url).code == 0


# -- as a program


def _program(*words: str) -> list[str]:
    return [sys.executable, "-m", "chronosctl", *words]


def _env(url: str) -> dict[str, str]:
    return {**os.environ, "CHRONO_URL": url, "PYTHONPATH": str(SOURCE), "COVERAGE_PROCESS_START": ""}


def test_a_command_runs_under_a_lease_and_has_its_token() -> None:
    with serve() as running:
        ran = subprocess.run(
            _program("leases", "run", "night", "--", "sh", "-c", "echo $CHRONO_FENCING_TOKEN; exit 7"),
            env=_env(running.url), capture_output=True, text=True,
        )  # fmt: skip
        assert (ran.returncode, ran.stdout) == (7, "1\n")
        assert json.loads(call("leases", "get", "night", "-o", "json", url=running.url).out)["held"] is False


# A lease that is short ends by itself where the machine is too busy to renew it: then that is why the command ended.
@pytest.mark.parametrize(("how", "ttl_ms", "code"), [("term", "30000", 143), ("break", "600", 5)])
def test_a_command_ends_with_its_lease_or_its_parent(how: str, ttl_ms: str, code: int) -> None:
    with serve() as running:
        words = _program("leases", "run", "night", "--ttl-ms", ttl_ms, "--", "sh", "-c", "echo on; sleep 60")
        with subprocess.Popen(
            words, env=_env(running.url), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "on\n"
            if how == "term":
                child.send_signal(signal.SIGTERM)
            else:
                call("leases", "break", "night", url=running.url)
            assert child.stdout.read() == ""  # all that it started has ended
            assert child.wait(30) == code
        assert json.loads(call("leases", "get", "night", "-o", "json", url=running.url).out)["held"] is False


# What a start costs is what it loads: `--help` may take 150 ms, a call 200 ms beside the network.
NEVER = {"boto3", "asyncio", "tempfile", "chronowatch.models", "chronowatch.resources", "rich", "multiprocessing"}
NO_CALL = NEVER | {"http.client", "ssl", "socket", "yaml", "chronowatch.transport"}
NO_HELP = NO_CALL | {"dataclasses", "pathlib", "urllib.parse"}


@pytest.mark.parametrize(
    ("words", "absent", "most"),
    [
        ("--help", NO_HELP, 30),
        ("schedules --help", NO_HELP, 30),
        ("leases run --help", NO_CALL - {"socket"}, 60),
        ("schedules create --help", NO_CALL, 50),
        ("time", NEVER | {"yaml", "shutil", "textwrap"}, 90),
        ("schedules list", NEVER | {"yaml", "shutil", "textwrap"}, 90),
        ("schedules list -o json", NEVER | {"yaml", "shutil", "textwrap"}, 90),
        ("schedules get start", NEVER | {"yaml", "shutil", "textwrap"}, 90),
    ],
)
def test_help_and_calls_load_little(served: Served, words: str, absent: set[str], most: int) -> None:
    call("schedules", "create", "--expr", "rate:1h", "--name", "start", "--target", LOG, url=served.url)
    program = (
        "import sys, click; before = set(sys.modules); from chronosctl.main import main; code = main(sys.argv[1:]); "
        "print(*set(sys.modules) - before, file=sys.stderr); sys.exit(code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *words.split()], env=_env(served.url), capture_output=True, text=True
    )
    loaded = set(ran.stderr.split())
    assert (ran.returncode, loaded & absent) == (0, set())
    assert len(loaded) <= most, sorted(loaded)


def test_shells_complete_commands_files_and_names_of_the_service(served: Served, tmp_path: Path) -> None:
    call("schedules", "create", "--expr", "rate:1h", "--name", "complete-me", "--target", LOG, url=served.url)
    for shell in ("bash", "zsh", "fish"):
        assert "_CHRONOSCTL_COMPLETE" in call("completion", shell).out
    contexts = tmp_path / "contexts.json"
    assert call("context", "set", "prod", "--url", served.url, env={"CHRONOSCTL_CONFIG": str(contexts)}).code == 0
    for words, found in {
        "schedules get compl": "plain,complete-me",
        "listen --schedule compl": "plain,complete-me",
        "schedules preview compl": "plain,complete-me",
        "executions list --schedule-id compl": "plain,complete-me",
        "time --context p": "plain,prod",
        "apply -f sched": "file,sched",
        "import crontab cron": "file,cron",
        "schedules create --file bo": "file,bo",
        "man --all fol": "dir,fol",
    }.items():
        asked = {"_CHRONOSCTL_COMPLETE": "bash_complete", "COMP_WORDS": f"chronosctl {words}"}
        env = {**_env(served.url), **asked, "COMP_CWORD": str(len(words.split())), "CHRONOSCTL_CONFIG": str(contexts)}
        ran = subprocess.run(_program(), env=env, capture_output=True, text=True)
        assert (words, ran.stdout.splitlines()) == (words, [found])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("schedules create", []),
        ("schedules preview", []),
        ("leases acquire", []),
        ("leases renew", []),
        ("leases release", []),
        ("schedules backfill", ["--from-unix-ms", "--to-unix-ms"]),
    ],
)
def test_help_calls_required_only_what_a_person_must_say(words: str, said: list[str]) -> None:
    options = call(*words.split(), "--help").out.split("\n  --")
    assert ["--" + each.split()[0] for each in options if "[required]" in each] == said


def test_a_wrong_secret_is_refused_before_anything_is_listened_for(served: Served) -> None:
    said = call("listen", "--forward-to", "localhost:1", "--secret", "whsec_?", url=served.url)
    assert (said.code, said.err.splitlines()[0]) == (2, "error: --secret: what follows whsec_ must be base64")


def test_an_empty_standard_input_is_no_token(tmp_path: Path) -> None:
    env = {"CHRONOSCTL_CONFIG": str(tmp_path / "contexts.json")}
    assert call("context", "set", "a", "--url", "http://a", "--token-stdin", stdin="old\n", env=env).code == 0
    said = call("context", "set", "a", "--token-stdin", stdin="", env=env)
    assert (said.code, said.err.splitlines()[0]) == (2, "error: --token-stdin: standard input holds no token")


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://a:99999", "http://a:b", "http://", "http://a b", "ftp://a", "a:8080"]
)
def test_what_is_no_address_is_said_at_once(served: Served, tmp_path: Path, url: str) -> None:
    env = {"CHRONOSCTL_CONFIG": str(tmp_path / "contexts.json")}
    said = call("time", env={**env, "CHRONO_URL": url})
    assert (said.code, said.err.splitlines()[0]) == (2, f"error: CHRONO_URL: {url} is no address")
    said = call("context", "set", "a", "--url", url, env=env)
    assert (said.code, said.err.splitlines()[0]) == (2, f"error: --url: {url} is no address")
    if "//" in url:
        said = call("listen", "--forward-to", url, url=served.url)
        assert (said.code, said.err.splitlines()[0]) == (2, f"error: --forward-to: {url} is no address")


def test_a_plan_whose_reader_goes_says_still_that_there_are_changes(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "many.yaml"
    entries = "".join(f"- {{name: cut-{n}, type: RATE, expr: rate:1h, target: {LOG}}}\n" for n in range(400))
    file.write_text(f"version: 1\nschedules:\n{entries}")
    line = f"set -o pipefail; {sys.executable} -m chronosctl plan --days 1 -o jsonl -f {file} | head -1 > /dev/null"
    ran = subprocess.run(["bash", "-c", line], env=_env(served.url), capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (2, "")


@pytest.mark.parametrize("token", ["cw_a\ncw_b", "cw_ключ"])
def test_what_no_header_can_hold_is_no_token(tmp_path: Path, token: str) -> None:
    env = {"CHRONOSCTL_CONFIG": str(tmp_path / "contexts.json")}
    said = call("time", url="http://127.0.0.1:9", env={**env, "CHRONO_TOKEN": token})
    assert (said.code, said.err.splitlines()[0]) == (2, "error: CHRONO_TOKEN: holds characters that no token has")
    said = call("context", "set", "a", "--url", "http://a", "--token", token, env=env)
    assert (said.code, said.err.splitlines()[0]) == (2, "error: --token: holds characters that no token has")


def test_a_list_is_filtered_by_names_too(served: Served) -> None:
    channel = '{"type":"webhook","url":"https://example.com/x"}'
    words = ("notification-rules", "create", "--name", "named", "--when", "failed", "--channel", channel)
    assert call(*words, url=served.url).code == 0
    assert call("notifications", "list", "--rule-id", "named", url=served.url).code == 0
    said = call("notifications", "list", "--rule-id", "nobody", url=served.url)
    assert (said.code, said.err.splitlines()[0]) == (3, "error: there is no notification-rule nobody")


def test_firings_are_forwarded_as_a_webhook_would_be() -> None:
    from chronowatch import verify

    secret = "whsec_c2VjcmV0LW9mLXRoaXMtdGVzdA=="
    got: list[tuple[dict[str, str], bytes]] = []
    with serve() as running, _listening(lambda h: got.append((dict(h.headers), h.body))) as url:
        house = running.house
        fired = house.fire(name="f", payload={"n": 1})
        house.accept(fired)
        words = _program("listen", "--forward-to", url, "--schedule", "f", "--secret", secret, "--count", "1")
        with subprocess.Popen(
            words, env=_env(running.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            try:
                assert child.stderr is not None
                assert child.stderr.readline().startswith("listening")
                change = Change("execution", fired, house.clock.now_ms(), "anonymous", house.execution(fired))
                changes.record(house.services, "s", [Arrived(1, "default", change)])
                assert child.wait(60) == 0
            finally:
                child.kill()
    [(headers, body)] = got
    assert verify(body=body, headers=headers, secret=secret).data == {"n": 1}


def test_the_bridge_for_agents_answers_each_line_whatever_it_is(served: Served) -> None:
    lines = ["", "text", "[1]", '{"jsonrpc":"2.0","id":1,"method":"ping"}', '{"jsonrpc":"2.0","method":"notify"}']
    lines += [
        '{"jsonrpc":"2.0","id":"b","method":"no/such"}',
        '{"jsonrpc":"2.0","id":3,"method":"ping","params":{"a":1}}',
    ]
    said = call("mcp", url=served.url, stdin="\n".join(lines))
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert [(a["id"], a.get("error", {}).get("code")) for a in answers] == [
        (None, -32700), (None, -32600), (1, None), ("b", -32601), (3, None),
    ]  # fmt: skip
    away = call("mcp", url="http://127.0.0.1:9", stdin=lines[3])
    assert json.loads(away.out)["error"]["code"] == -32001


def test_every_noun_is_told_in_the_program_s_help() -> None:
    said = call("--help")
    lines = said.out.partition("Commands:\n")[2].splitlines()
    assert [line for line in lines if len(line.split()) == 1 and line[2:3] != " "] == []
    assert len(lines) > 30


def test_manual_pages_are_made_of_every_command(tmp_path: Path) -> None:
    assert call("man", "--all", str(tmp_path)).code == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert {"chronosctl.1", "chronosctl-schedules-plan.1", "chronosctl-leases-run.1"} <= names
    assert len(names) > 150
    assert call("man", "no").code == 2


def test_the_table_and_the_client_are_those_of_the_api() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "localdev.generate_clients", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as fresh:
        os.chdir(fresh)
        for each in SESSIONS:
            (sessions.GOLDEN / f"{each}.txt").write_text(_session(each, Path(fresh)))

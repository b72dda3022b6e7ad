"""A newcomer's first half hour: README.md and docs/chronosctl.md, command by command, with nothing but Python.

What README.md prints is held to what is printed. The client is built as a wheel and installed from it. Then come the
mistakes that a newcomer makes, and a miss.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.receiver import Receiver
from tests.kit.ports import free_port
from tests.tidy.sources import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PAGE = ROOT / "docs" / "chronosctl.md"
README = ROOT / "README.md"
AGENTS = ROOT / "docs" / "agents.md"
CONSOLE = re.compile(r"^```\n(\$ .*?)^```$", re.MULTILINE | re.DOTALL)
# What differs from day to day: an id, an instant as a text or a number, how late something was, and what is left out.
VARYING = re.compile(
    r"(?P<id>[0-7][0-9A-HJKMNP-TV-Z]{25})|(?P<at>\d{13})|(?P<iso>\d{4}-\d\d-\d\dT[\d:.]+Z)"
    r"|(?P<late> +[+-]\d+ ms)|(?P<ms>(?<=lateness_ms\":)\d+)|(?P<more> ?… ?)"
)
FORMS = {"iso": r"[\dT:.-]+Z", "late": r" +[+-]\d+ ms", "ms": r"\d+", "more": r".*"}
BLOCK = re.compile(r"^```(sh|yaml|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INSTALL = "pip install './clients/python[cli]'\n"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment with the wheel of the client, and what that asks for."""
    folder = tmp_path_factory.mktemp("clean")
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
    source = folder / "source"
    copied = ["cp", "-r", ROOT / "clients" / "python", source]
    steps: Sequence[Sequence[str | Path]] = [
        copied,
        [sys.executable, "-m", "venv", folder / "venv"],
        [*pip, "wheel", "--no-deps", "--wheel-dir", folder, source],
    ]
    for step in steps:
        _installed(step)
    [wheel] = folder.glob("*.whl")
    _installed([*pip, "install", f"{wheel}[cli]"])
    return folder / "venv" / "bin"


def _installed(command: Sequence[str | Path]) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    if ran.returncode != 0 and "No matching distribution" in ran.stderr + ran.stdout:
        pytest.skip(f"no registry of packages can be asked: {ran.stderr[-200:]}")
    assert ran.returncode == 0, ran.stderr[-2000:]


class Shell:
    """A shell of somebody whose home is empty."""

    def __init__(self, programs: Path, home: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHRONO", "PYTHON", "XDG"))}
        self._env = {**kept, "HOME": str(home), "PATH": f"{programs}{os.pathsep}{kept['PATH']}"}
        self._home = home

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        how = {"cwd": self._home, "env": self._env, "capture_output": True, "text": True, "timeout": 120}
        return subprocess.run(["bash", "-c", script], check=False, **how)  # type: ignore[call-overload,no-any-return]

    def begin(self, script: str) -> subprocess.Popen[str]:
        """A program that goes on; what it prints is read line by line."""
        how = {
            "cwd": self._home,
            "env": {**self._env, "PYTHONUNBUFFERED": "1"},
            "stdout": subprocess.PIPE,
            "text": True,
        }
        return subprocess.Popen(["bash", "-c", f"exec {script}"], **how)  # type: ignore[call-overload,no-any-return]

    def well(self, script: str) -> str:
        ran = self.run(f"set -euo pipefail\n{script}")
        assert ran.returncode == 0, f"{script}\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"
        return ran.stdout + ran.stderr


def test_the_page_works_as_it_stands_and_mistakes_are_explained(
    clean: Path, server: DevServer, receiver: Receiver, tmp_path: Path
) -> None:
    shell = Shell(clean, tmp_path)
    blocks = BLOCK.findall(PAGE.read_text())
    commands = [text for kind, text in blocks if kind == "sh"]
    assert len(commands) >= 7
    (tmp_path / "schedules.yaml").write_text(next(t for kind, t in blocks if kind == "yaml" and "schedules:\n" in t))
    (tmp_path / "jobs.py").write_text(next(t for kind, t in blocks if kind == "python"))
    (tmp_path / "report.sh").write_text("#!/bin/sh\necho token $CHRONO_FENCING_TOKEN\n")
    (tmp_path / "report.sh").chmod(0o755)
    here = {"http://127.0.0.1:8080": f"http://127.0.0.1:{server.http_port}", "http://localhost:3000/hook": receiver.url}
    said = ""
    assert commands[0].startswith(INSTALL)
    for n, block in enumerate(commands):
        script = block.replace(INSTALL, "") if n == 0 else block
        for documented, actual in here.items():
            script = script.replace(documented, actual)
        said += shell.well(script)
    assert "chronosctl 0" in said
    assert "1 create, 0 update, 0 delete" in said
    assert "0 create, 0 update, 0 delete, 1 unchanged" in said
    assert "token 1" in said
    assert len(receiver.all()) == 1
    _mistakes(shell)
    _a_miss(shell)


def _mistakes(shell: Shell) -> None:
    """Each is answered by one line that names what is wrong, and a hint; and by its exit code."""
    for script, code, named in (
        ("chronosctl schedules create --expr '61 * * * *' --name x", 1, "expr: minute: '61'"),
        ("chronosctl schedules create --expr 'rate:1h' --name night", 5, "night"),
        ("chronosctl schedules get nihgt", 3, "there is no schedule nihgt"),
        ("chronosctl schedule list", 2, "No such command 'schedule'"),
        ("CHRONO_URL=127.0.0.1:8080 chronosctl time", 2, "CHRONO_URL"),
        ("CHRONO_URL=http://127.0.0.1:9 chronosctl time", 6, "no answer"),
        ("chronosctl context use nowhere", 3, "there is no context nowhere"),
        ("echo 'schedules: [{name: a, expres: rate:1h}]' | chronosctl plan -f -", 1, "expres"),
        ("echo 'schedules: [' | chronosctl apply -f -", 2, "standard input:2"),
        ("chronosctl executions cancel --reason x", 2, "Missing argument"),
    ):
        ran = shell.run(script)
        assert (ran.returncode, named in ran.stderr + ran.stdout) == (code, True), (script, ran.returncode, ran.stderr)
        assert "Traceback" not in ran.stderr
        assert ran.stderr.count("\n") <= 2, ran.stderr


def _a_miss(shell: Shell) -> None:
    """A schedule that was paused while it should have run says so."""
    shell.well('chronosctl schedules create --expr rate:1s --name each-second --target \'{"type":"log"}\' -o name')
    shell.well("chronosctl schedules pause each-second --note deploying -o name")
    shell.well("sleep 2.5; chronosctl schedules resume each-second -o name")
    beat = json.loads(shell.well("chronosctl schedules get each-second -o json"))
    # It was made, then paused for more than two of its seconds: the second before the last version's is one of those.
    versions = json.loads(shell.well("chronosctl schedules versions each-second -o json"))
    resumed_ms = max(each["since_unix_ms"] for each in versions)
    missed = beat["created_at_unix_ms"] + (resumed_ms - beat["created_at_unix_ms"]) // 1000 * 1000
    explained = shell.well(f"chronosctl schedules explain each-second {missed}")
    assert "paused" in explained
    assert "next run: " in explained


def test_the_session_of_the_readme_prints_what_it_says(clean: Path, server: DevServer, tmp_path: Path) -> None:
    session = CONSOLE.findall(README.read_text())
    assert len(session) == 1
    port = free_port()
    shell, known = Shell(clean, ROOT), {"8080": str(server.http_port), "9000": str(port)}
    steps = re.findall(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", session[0], re.MULTILINE)
    assert len(steps) == 4
    command, nothing = steps[0]
    assert (command[-2:], nothing) == (" &", "")
    with shell.begin(_said(command[:-2], known)) as receiver:
        try:
            wait_for("the receiver", lambda: _listens(port))
            for command, printed in steps[1:]:
                for line in filter(None, printed.splitlines()):
                    of_receiver = line[:4].isdigit()
                    _printed(
                        line, known, receiver.stdout.readline if of_receiver else partial(_once, shell, command, known)
                    )
        finally:
            receiver.terminate()
    shell.well(f"curl -sf -XDELETE localhost:{server.http_port}/api/v1/schedules/{known['01M7YXNDR261VWJHN01CG5BBGC']}")


def _said(text: str, known: Mapping[str, str]) -> str:
    """A command with the ids, instants and ports of this run."""
    return re.sub("|".join(known), lambda found: known[found[0]], text)


def _once(shell: Shell, command: str, known: dict[str, str]) -> str:
    return shell.well(_said(command, known))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _printed(line: str, known: dict[str, str], look: Callable[[], str]) -> None:
    """Wait until a line is printed that differs only by what varies. An id or instant that came before is the same."""
    new: dict[str, str] = {}

    def pattern(found: re.Match[str]) -> str:
        kind, text = str(found.lastgroup), found[0]
        if kind in FORMS:
            return FORMS[kind]
        if text in known:
            return re.escape(known[text])
        if text in new:
            return f"(?P={new[text]})"
        new[text] = f"v{len(new)}"
        return f"(?P<{new[text]}>{'[0-9A-Z]{26}' if kind == 'id' else '[0-9]{13}'})"

    parts, at = [], 0
    for found in VARYING.finditer(line):
        parts += [re.escape(line[at : found.start()]), pattern(found)]
        at = found.end()
    wanted = re.compile("".join([*parts, re.escape(line[at:])]))
    seen: list[str] = []

    def matches() -> re.Match[str] | None:
        seen.append(look().strip())
        return wanted.fullmatch(seen[-1])

    try:
        found = wait_for(line, matches)
    except AssertionError:
        raise AssertionError(f"{line}\nwas not printed, but\n{seen[:1]}\n{seen[-1:]}") from None
    assert found is not None
    known.update({text: found[name] for text, name in new.items()})


def test_the_ways_of_an_agent_in_the_docs_are_ways(clean: Path, server: DevServer, tmp_path: Path) -> None:
    """The two configurations of docs/agents.md, as a client of MCP reads them."""
    by_http, by_stdio = (
        json.loads(text) for text in re.findall(r"^```\n(\{.*?)^```$", AGENTS.read_text(), re.M | re.S)
    )
    way = by_http["mcpServers"]["chronowatch"]
    assert (way["type"], way["url"].partition("/mcp")[1:]) == ("http", ("/mcp", ""))
    shell = Shell(clean, tmp_path)
    shell.well(f"chronosctl context set prod --url http://127.0.0.1:{server.http_port}")
    way = by_stdio["mcpServers"]["chronowatch"]
    message = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    answer = shell.well(f"echo {shlex.quote(message)} | {shlex.join([way['command'], *way['args']])}")
    assert {"find_schedules", "create_schedule"} <= {tool["name"] for tool in json.loads(answer)["result"]["tools"]}

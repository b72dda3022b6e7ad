"""Scheduled-DB's flags and variables: understood, or answered."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chalicelib import settings
from chalicelib.core.configuration import scheduled_db
from chalicelib.core.errors import SettingsError
from localdev.__main__ import OPTIONS

ROOT = Path(__file__).resolve().parents[3]
OWN = ("--deployed", "--until-eof")
# What its main.go defines with package flag, and reads with os.Getenv; its .env.example adds the rest.
ITS_FLAGS = """data-dir raft-port http-port node-id peers slot-gap discovery-strategy raft-host raft-advertise-host
http-host execution-timeout inprogress-timeout max-attempts history-retention health-failure-threshold
queue-memory-limit queue-memory-percent queue-job-limit enable-cold-spilling cold-spilling-hot-window
cold-spilling-check-interval htw-level0-granularity htw-level0-buckets htw-level1-granularity htw-level1-buckets
htw-level2-granularity htw-level2-buckets""".split()  # noqa: SIM905 (forty words, one a line, are no better)
ITS_VARIABLES = """DATA_DIR RAFT_PORT HTTP_PORT NODE_ID PEERS SLOT_GAP DISCOVERY_STRATEGY RAFT_HOST RAFT_ADVERTISE_HOST
HTTP_HOST JOB_EXECUTION_TIMEOUT JOB_INPROGRESS_TIMEOUT MAX_EXECUTION_ATTEMPTS EXECUTION_HISTORY_RETENTION
HEALTH_FAILURE_THRESHOLD QUEUE_MEMORY_LIMIT QUEUE_MEMORY_PERCENT QUEUE_JOB_LIMIT ENABLE_COLD_SPILLING
COLD_SPILLING_HOT_WINDOW COLD_SPILLING_CHECK_INTERVAL HTW_LEVEL0_GRANULARITY HTW_LEVEL0_BUCKETS
HTW_LEVEL1_GRANULARITY HTW_LEVEL1_BUCKETS HTW_LEVEL2_GRANULARITY HTW_LEVEL2_BUCKETS AUTO_JOIN GOSSIP_PORT GOSSIP_SEEDS
DNS_DOMAIN KUBERNETES_IN_CLUSTER CLUSTER_SIZE CLUSTER_NAME BASE_RAFT_PORT BASE_HTTP_PORT HTTP_PORT_OFFSET DATA_BASE_DIR
LOG_BASE_DIR LOG_LEVEL""".split()  # noqa: SIM905


@pytest.mark.parametrize("flag", ITS_FLAGS)
@pytest.mark.parametrize("form", ["--{}=7", "-{}=7", "--{} 7"])
def test_each_of_its_flags_is_understood_or_answered(flag: str, form: str) -> None:
    if flag in scheduled_db.SWITCHES:
        form = form.removesuffix(" 7")
    found = scheduled_db.understand([*form.format(flag).split(), "--deployed"], OWN)
    assert len(found.values) + len(found.notes) == 1
    assert found.rest == ["--deployed"]
    assert set(found.values) <= set(settings.VARIABLES)
    assert set(found.values.values()) <= {"7"}
    assert all(note.startswith(f"--{flag}: ") for note in found.notes)


@pytest.mark.parametrize("name", ITS_VARIABLES)
def test_each_of_its_variables_is_a_setting_or_answered(name: str) -> None:
    answered = scheduled_db.answers({name: "x"})
    assert (name in settings.VARIABLES) != bool(answered)
    assert all(line.startswith(f"{name}: ") and "\n" not in line for line in answered)


def test_only_what_is_set_is_answered() -> None:
    assert scheduled_db.answers({"NODE_ID": "", "PATH": "/bin"}) == []


def test_every_name_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "coming-from.md").read_text()
    families = ("ENABLE_COLD", "COLD_SPILLING", "HTW", "BASE_", "DATA_BASE", "LOG_BASE", "HTTP_PORT_OFFSET")
    assert not [name for name in ITS_VARIABLES if not name.startswith(families) and f"`{name}`" not in text]
    shown = re.findall(r"^\| `([A-Z_]+)`, `--([a-z-]+)` \|", text, re.MULTILINE)
    assert len(shown) > 5
    assert {flag for _, flag in shown} <= set(ITS_FLAGS)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--slot-gp=1s"], "--slot-gp: is no option; did you mean --slot-gap?"),
        (["--deploy"], "--deploy: is no option; did you mean --deployed?"),
        (["--port=8080"], "--port: is no option; did you mean --http-port?"),
        (["--raft-prt=1"], "--raft-prt: is no option; did you mean --raft-port?"),
        (["--zzz"], "--zzz: is no option: there are --deployed, --until-eof"),
        (["--slot-gap"], "--slot-gap: needs a value"),
    ],
)
def test_what_is_neither_is_refused_with_the_nearest(arguments: list[str], wanted: str) -> None:
    with pytest.raises(SettingsError) as refused:
        scheduled_db.understand(arguments, OWN)
    assert str(refused.value) == wanted


def _dev(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """``scripts/dev`` up to where a wrong setting stops it."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("CHRONO_")}
    return subprocess.run(
        [sys.executable, "-m", "localdev", *arguments],
        cwd=ROOT,
        env={**inherited, "CHRONO_CONFIG": "", **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_sets_what_a_flag_says_and_answers_what_is_not_needed() -> None:
    ended = _dev("--node-id=node-1", "--slot-gap=11s", "--discovery-strategy", "gossip", DATA_DIR="/somewhere")
    assert ended.returncode == 2
    lines = ended.stderr.splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == [
        "--node-id", "--discovery-strategy", "DATA_DIR", "SLOT_GAP",
    ]  # fmt: skip
    assert "find each other in the table" in lines[0]
    assert "CHRONO_DATA_DIR takes its place" in lines[2]
    assert "must be from 1s to 10s, not '11s'" in lines[3]


def test_paths_of_the_caller_are_relative_to_where_it_stands(tmp_path: Path) -> None:
    ended = _dev(CALLED_FROM=str(tmp_path), CHRONO_CONFIG="mine.yaml")
    assert f"CHRONO_CONFIG: {tmp_path}/mine.yaml cannot be read" in ended.stderr


def test_an_unknown_option_is_one_line() -> None:
    assert _dev("--nope").stderr.startswith("scripts/dev: --nope: is no option")
    assert _dev("nope").stderr.startswith("scripts/dev: nope: is no option")


def test_help_names_every_option() -> None:
    told = _dev("--help")
    assert told.returncode == 0, told.stderr
    assert all(option in told.stdout for option in (*OPTIONS, "--help", "docs/running.md"))

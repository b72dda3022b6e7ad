"""What ``scripts/dev`` says before it starts anything."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from localdev import supervisor


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("postgresql://ann:s3cret@h1,h2:5433/name?target_session_attrs=read-write", "postgresql://ann@h1,h2:5433/name"),
        ("postgresql://ann:s3cr@t@h/name", "postgresql://ann@h/name"),
        ("postgresql://h/name?user=ann&password=s3cr@t", "postgresql://h/name"),
    ],
)
def test_a_dsn_is_shown_without_its_password(dsn: str, said: str) -> None:
    assert supervisor._said_of(dsn) == f"PostgreSQL at {said}"


def test_a_default_target_that_needs_aws_is_refused_before_postgresql_is_started() -> None:
    target = '{"type": "sqs", "queue_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/q"}'
    ran = subprocess.run(
        [sys.executable, "-m", "localdev.supervisor", "--postgres"],
        env={**os.environ, "CHRONO_DEFAULT_TARGET": target},
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("scripts/dev: CHRONO_DEFAULT_TARGET: ")
    assert "runs without" in ran.stderr


def test_an_endpoint_that_does_not_answer_is_said_at_once_and_given_up_in_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nowhere = "http://127.0.0.1:1"
    with pytest.raises(supervisor.CannotStart, match=f"AWS_ENDPOINT_URL: nothing answers at {nowhere}$"):
        supervisor.wait_for(nowhere, threading.Event(), timeout_s=0.3)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "yet: waiting for up to 0 s; unset, scripts/dev brings an emulator" in said[0]

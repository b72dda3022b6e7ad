"""What ``scripts/dev`` says before it starts anything."""

from __future__ import annotations

import sys

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


def test_a_default_target_that_needs_aws_is_refused_before_postgresql_is_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(
        "CHRONO_DEFAULT_TARGET", '{"type": "sqs", "queue_url": "https://sqs.eu-west-1.amazonaws.com/1/q"}'
    )
    monkeypatch.setattr(sys, "argv", ["supervisor", "--postgres"])
    assert supervisor.main() == 2
    said = capsys.readouterr().err
    assert said.startswith("scripts/dev: CHRONO_DEFAULT_TARGET: ")
    assert "runs without" in said

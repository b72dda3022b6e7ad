"""What ``CHRONO_DB_DSN`` may say."""

from __future__ import annotations

import pytest

from chalicelib.core.configuration.dsn_setting import read
from chalicelib.core.errors import SettingsError

DSN = "postgresql://chrono:secret@db:5432/chronowatch"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", None),
        ("  ", None),
        (DSN, DSN),
        (DSN.replace("postgresql", "postgres"), DSN),
        (DSN.replace("postgresql", "postgresql+asyncpg"), DSN),
        ("postgresql:///chronowatch?host=/run/postgresql", "postgresql:///chronowatch?host=/run/postgresql"),
        (
            "postgresql://u@a:1,b:2/d?target_session_attrs=read-write",
            "postgresql://u@a:1,b:2/d?target_session_attrs=read-write",
        ),
        ("postgresql://u@[::1]:5432/d", "postgresql://u@[::1]:5432/d"),
    ],
)
def test_a_dsn_is_what_libpq_takes(given: str, found: str | None) -> None:
    assert read({"CHRONO_DB_DSN": given}, False) == found


@pytest.mark.parametrize(
    ("env", "on_lambda", "problem"),
    [
        ({"CHRONO_DB_DSN": "mysql://u:secret@h/d"}, False, "must begin with postgresql://"),
        ({"CHRONO_DB_DSN": "host=h password=secret"}, False, "must begin with postgresql://"),
        ({"CHRONO_DB_DSN": "postgresql://u:secret@ho st/d"}, False, "must name HOST:PORT"),
        ({"CHRONO_DB_DSN": DSN}, True, "is not for Lambda"),
        ({"CHRONO_DB_DSN": DSN, "AWS_ENDPOINT_URL": "http://x"}, False, "is in place of AWS"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_repeated(env: dict[str, str], on_lambda: bool, problem: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(env, on_lambda)
    assert str(refused.value).startswith("CHRONO_DB_DSN: ")
    assert problem in str(refused.value)
    assert "secret" not in str(refused.value)

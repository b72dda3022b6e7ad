from __future__ import annotations

import pytest

from chalicelib.core.errors import SettingsError
from localdev.worker_count import names, take


@pytest.mark.parametrize(
    ("arguments", "count", "rest"),
    [
        ([], 1, []),
        (["--postgres"], 1, ["--postgres"]),
        (["--workers", "2", "--postgres"], 2, ["--postgres"]),
        (["--postgres", "--workers=3"], 3, ["--postgres"]),
    ],
)
def test_the_number_is_taken_out_of_the_command_line(arguments: list[str], count: int, rest: list[str]) -> None:
    assert take(arguments) == (count, rest)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--workers"],
        ["--workers", "0"],
        ["--workers", "-1"],
        ["--workers", "33"],
        ["--workers="],
        ["--workers", "two"],
        ["--workers", "²"],
        ["--workers", "9" * 5000],
        ["--workers", "2", "--workers", "2"],
    ],
)
def test_what_is_no_number_is_refused_by_the_name_of_the_option(arguments: list[str]) -> None:
    with pytest.raises(SettingsError) as problem:
        take(arguments)
    assert "--workers" in str(problem.value)
    assert len(str(problem.value)) < 200


def test_a_lone_worker_is_called_as_ever() -> None:
    assert names(1) == ["worker"]
    assert names(3) == ["worker", "worker-2", "worker-3"]

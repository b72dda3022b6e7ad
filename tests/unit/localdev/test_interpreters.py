"""Pythons are found where they run, and only there."""

from __future__ import annotations

import sys

from localdev.interpreters import LAMBDA, find, lambda_python
from localdev.locks import LAMBDA_PYTHON

OWN = "{}.{}".format(*sys.version_info[:2])


def test_the_python_that_runs_is_found_and_one_that_is_not_there_is_not() -> None:
    assert find(OWN) == sys.executable
    assert find("3.2") is None


def test_emulators_run_what_lambda_runs_where_they_can() -> None:
    assert lambda_python() == (LAMBDA if find(LAMBDA) else OWN)
    assert LAMBDA == LAMBDA_PYTHON

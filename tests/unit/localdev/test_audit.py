from __future__ import annotations

import pytest

from localdev.audit import CLEAN, FOUND, SKIPPED, judge


@pytest.mark.parametrize(
    ("code", "said", "verdict"),
    [
        (0, "No known vulnerabilities found", CLEAN),
        (1, "Found 2 known vulnerabilities in 1 package\nurllib3 1.24.1 PYSEC-2021-108", FOUND),
        (1, "requests.exceptions.ConnectionError: Max retries exceeded with url", SKIPPED),
        (1, "Found 1 known vulnerability in 1 package\nwarning: ConnectionError", FOUND),
        (1, "ERROR: the file is not understood", FOUND),
        (2, "usage: pip-audit", FOUND),
    ],
)
def test_only_what_cannot_be_reached_is_skipped(code: int, said: str, verdict: int) -> None:
    assert judge(code, said) == verdict

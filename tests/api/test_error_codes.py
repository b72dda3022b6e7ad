"""docs/api.md lists every error code, with the status it comes with, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from chalicelib.core import errors
from chalicelib.core.errors import ChronoError

ROOT = Path(__file__).parents[2]
_CODE = re.compile(r"code=\"([a-z_]+)\"")
_ROW = re.compile(r"^\| `([a-z_]+)` \| (\d{3}) \| .+ \|$", re.MULTILINE)


def _documented() -> dict[str, int]:
    return {code: int(status) for code, status in _ROW.findall((ROOT / "docs" / "api.md").read_text())}


def _classes() -> list[type[ChronoError]]:
    found = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, ChronoError)]
    assert len(found) > 10
    return found


def test_every_code_has_a_row_and_every_row_a_code() -> None:
    used = {code for path in (ROOT / "chalicelib").rglob("*.py") for code in _CODE.findall(path.read_text())}
    assert used | {c.default_code for c in _classes()} == set(_documented())


def test_every_class_has_the_status_of_its_row() -> None:
    rows = _documented()
    for error in _classes():
        assert rows[error.default_code] == error.status

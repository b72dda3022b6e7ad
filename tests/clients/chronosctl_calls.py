"""Calls of chronosctl in the test's own process, against a product in memory."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "clients" / "python" / "src"
sys.path.insert(0, str(SOURCE))

from chronosctl.main import main  # noqa: E402

_IDS = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_TRACES = re.compile(r"\b[0-9a-f]{32}\b")


@dataclass(frozen=True)
class Said:
    """What a call printed, and its exit code."""

    code: int
    out: str
    err: str


@contextmanager
def environment(**named: str) -> Iterator[None]:
    """These variables, and none other of chronosctl's."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith("CHRONO"):
            del os.environ[name]
    os.environ.update(named)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def call(*words: str, url: str = "", stdin: str = "", env: Mapping[str, str] | None = None) -> Said:
    """One call; with ``url`` that is CHRONO_URL."""
    named = {"CHRONO_URL": url} if url else {}
    out, err, before = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(stdin)
    try:
        with environment(**named, **(env or {})), redirect_stdout(out), redirect_stderr(err):
            code = main(list(words))
    finally:
        sys.stdin = before
    return Said(code, out.getvalue(), err.getvalue())


def masked(text: str) -> str:
    """Without what differs from run to run: ids by their order, traces, and the width that ids give a column."""
    seen: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        return seen.setdefault(found[0], f"ULID{len(seen) + 1:022d}")

    return _TRACES.sub("T" * 32, _IDS.sub(name, text))

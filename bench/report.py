"""What a bench answers: numbers with their targets, as a table for people and as one JSON object for programs."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """A number that was promised: ``measured`` must not exceed ``most``."""

    what: str
    most: float
    measured: float | None

    @property
    def met(self) -> bool:
        return self.measured is not None and self.measured <= self.most


@dataclass(slots=True)
class Report:
    """One run of one bench. ``results`` is plain JSON; ``tables`` say the same to people."""

    bench: str
    settings: dict[str, Any]
    results: dict[str, Any] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def as_json(self, machine: Mapping[str, Any]) -> dict[str, Any]:
        """The object that is printed as the last line."""
        return {
            "bench": self.bench,
            "machine": dict(machine),
            "settings": self.settings,
            "results": self.results,
            "targets": [{"what": t.what, "most": t.most, "measured": t.measured, "met": t.met} for t in self.targets],
            "notes": self.notes,
            "faults": self.faults,
        }

    def as_text(self) -> str:
        """The tables, then targets, notes and faults, one a line."""
        lines = [*self.tables]
        lines += [f"{'met   ' if t.met else 'MISSED'} {t.what}: {t.measured} (at most {t.most})" for t in self.targets]
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"FAULT: {fault}" for fault in self.faults]
        return "\n".join(lines)


def machine() -> dict[str, Any]:
    """What the numbers were measured on, and how busy it was: ``load_1m`` far above what a bench makes spoils it."""
    return {
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load_1m": round(os.getloadavg()[0], 2),
        "at_unix_ms": time.time_ns() // 1_000_000,
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: a value that was really measured, never one between two."""
    ordered = sorted(values)
    rank = max(1, math.ceil(percent / 100 * len(ordered)))
    return ordered[rank - 1]


def spread(values: Sequence[float], digits: int = 3) -> dict[str, float | int | None]:
    """Count, p50, p95, p99 and extremes of measured values, in their own unit."""
    if not values:
        return {"count": 0, "min": None, "p50": None, "p95": None, "p99": None, "max": None}
    numbers = {f"p{p}": round(percentile(values, p), digits) for p in (50, 95, 99)}
    return {"count": len(values), "min": round(min(values), digits), **numbers, "max": round(max(values), digits)}


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns aligned: the first to the left, the others to the right."""
    cells = [list(columns)] + [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = []
    for row in cells:
        padded = [
            row[0].ljust(widths[0]),
            *(value.rjust(width) for value, width in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def line(report: Mapping[str, Any]) -> str:
    """The JSON object on one line."""
    return json.dumps(report, separators=(",", ":"))

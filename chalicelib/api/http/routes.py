"""All calls of the API, noun by noun, and those of one place alone.

A function of the API loads the nouns of the place that it is asked for. Most functions serve few places before they
end. A server loads all at its start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Final

from chalicelib.api.http.operations import Operation, Table

# Each noun's module in ``chalicelib.api``, and the places that its paths are at.
NOUNS: Final[Mapping[str, tuple[str, ...]]] = {
    "schedules.operations": ("schedules",),
    "schedules.bulk": ("schedules",),
    "schedules.files": ("schedules",),
    "schedules.explain": ("schedules",),
    "schedules.outlook": ("schedules", "upcoming"),
    "schedules.words": ("schedules",),
    "jobs.operations": ("jobs",),
    "executions.operations": ("executions",),
    "executions.bulk_jobs": ("executions", "bulk-jobs"),
    "leases.operations": ("leases",),
    "keys.operations": ("keys",),
    "ticks.operations": ("ticks",),
    "changes.operations": ("changes",),
    "tasks.operations": ("tasks",),
    "clock.operations": ("time",),
    "health.operations": ("health",),
    "cluster.operations": ("debug", "join"),
    "metrics.operations": ("metrics",),
    "roles.operations": ("roles",),
    "queues.operations": ("admin",),
    "sessions.operations": ("session",),
    "policies.operations": ("policies", "schedules"),
    "audit.operations": ("audit",),
    "subjects.operations": ("subjects",),
    "webhooks.operations": (".well-known",),
    "console.operations": ("console",),
    "workflows.operations": ("workflows",),
    "runs.operations": ("runs",),
    "heartbeats.operations": ("monitors", "ping", "badge"),
    "notices.operations": ("notification-rules", "notifications"),
    "travel.operations": ("runs", "sessions"),
    "triggers.operations": ("triggers", "ingest"),
    "agents.operations": ("mcp", "llms.txt"),
    "http.docs": ("openapi.json", "schemas", "docs"),
}
_ABOUT_ALL: Final = frozenset({"agents.operations", "http.docs"})  # they are given all operations
_PLACES: Final = frozenset(place for places in NOUNS.values() for place in places)
_PLACE: Final = re.compile(r"/(?:api/(?:v1/)?)?([^/:]*)")


def place_of(path: str) -> str:
    """The first word of a path, or of a route, behind ``/api`` and ``/api/v1``; empty where no noun is."""
    found = _PLACE.match(path)
    return found[1] if found is not None and found[1] in _PLACES else ""


def table() -> Table:
    """A new table, with its own clock watch and health record."""
    operations: list[Operation] = []
    operations += _of(NOUNS, lambda: operations)
    return Table(operations)


def table_at(place: str) -> Table:
    """A new table of the nouns at ``place``; empty where nothing is."""
    return Table(_of((noun for noun, places in NOUNS.items() if place in places), cache(lambda: table().operations)))


def _of(nouns: Iterable[str], everything: Callable[[], Sequence[Operation]]) -> list[Operation]:
    found: list[Operation] = []
    for noun in nouns:
        module = import_module(f"chalicelib.api.{noun}")
        found += module.operations(everything) if noun in _ABOUT_ALL else module.operations()
    return found

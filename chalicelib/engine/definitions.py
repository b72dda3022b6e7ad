"""Definitions by version, from the process's cache or the tables."""

from __future__ import annotations

from collections.abc import Set

from chalicelib.core import limits
from chalicelib.core.schedules.schedule import Definition
from chalicelib.ports.batches import gathered
from chalicelib.ports.services import Services
from chalicelib.ports.stores import Versioned


def load_definitions(s: Services, wanted: Set[Versioned]) -> dict[Versioned, Definition]:
    """The definitions of versions, current or superseded; those that do not exist are left out."""
    found = {v: d for v in wanted if (d := s.versions.find(v.version)) is not None}
    missing = sorted(wanted - found.keys())
    if not missing:
        return found
    current = gathered(s.schedules.definitions, sorted({v.key for v in missing}), limits.BATCH_GET_MAX)
    found |= {v: d for v in missing if (d := current.get(v.key)) is not None and d.version == v.version}
    older = [v for v in missing if v not in found]
    found |= gathered(s.schedules.snapshots, older, limits.BATCH_GET_MAX) if older else {}
    for v in missing:
        if v in found:
            s.versions.keep(found[v])
    return found

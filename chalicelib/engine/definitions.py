"""Definitions by version, from the process's cache or the tables."""

from __future__ import annotations

from collections.abc import Set

from chalicelib.core.schedules.schedule import Definition
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import Versioned


def load_definitions(s: Services, wanted: Set[Versioned]) -> dict[Versioned, Definition]:
    """The definitions of versions, current or superseded; those that do not exist are left out."""
    found = {v: d for v in wanted if (d := s.process.versions.find(v.version)) is not None}
    missing = sorted(wanted - found.keys())
    if not missing:
        return found
    current = s.stores.schedules.definitions(sorted({v.key for v in missing}))
    found |= {v: d for v in missing if (d := current.get(v.key)) is not None and d.version == v.version}
    older = [v for v in missing if v not in found]
    found |= s.stores.schedules.snapshots(older) if older else {}
    for v in missing:
        if v in found:
            s.process.versions.keep(found[v])
    return found

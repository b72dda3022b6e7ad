"""The sources of triggers, loaded by the first that is read or routed: most processes do neither."""

from __future__ import annotations

from chalicelib.adapters.machine.lazy import Lazy
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.ports.event_sources import EventSources


def lazy_sources(lent: TargetParts, stage: str, queues: tuple[str, ...]) -> EventSources:
    """``queues`` are those that triggers may read."""

    def made() -> EventSources:
        from chalicelib.adapters.sources.listed_sources import ListedSources
        from chalicelib.adapters.sources.source_parts import SourceParts

        return ListedSources(SourceParts(lent, stage, queues))

    found: EventSources = Lazy(made)
    return found

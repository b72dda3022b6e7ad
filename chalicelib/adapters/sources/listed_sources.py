"""The sources of triggers, each loaded when a trigger first names it: a process pays for what it reads."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

from chalicelib.adapters.sources.source_parts import SourceParts
from chalicelib.core.triggers.trigger import Trigger
from chalicelib.ports.event_sources import EventConsumer, SourceProblem

log = logging.getLogger(__name__)


class ListedSources:
    """``EventSources`` by the modules of this package."""

    def __init__(self, parts: SourceParts) -> None:
        self._parts = parts

    def open(self, trigger: Trigger) -> EventConsumer:
        """A consumer. Raises SourceProblem."""
        kind = trigger.rules.source["type"]
        try:
            made: EventConsumer = _module(kind).open_consumer(self._parts, trigger)
        except ImportError as lacking:
            problem = f"this deployment lacks the packages of requirements-brokers.txt: {lacking}"
            raise SourceProblem(problem) from lacking
        return made

    def forget(self, trigger: Trigger) -> None:
        """Take away what consumers left, where a source keeps anything."""
        forget = getattr(_module(trigger.rules.source["type"]), "forget", None)
        if forget is not None:
            try:
                forget(self._parts, trigger)
            except Exception as problem:
                log.warning("what trigger %s left at its source stays: %s", trigger.id, problem)

    def route(self, trigger: Trigger, active: bool) -> None:
        """Let a bus bring the events of a trigger. Raises InvalidField, Unavailable."""
        if trigger.rules.source["type"] == "eventbridge":
            _module("eventbridge").route(self._parts, trigger, active)

    def unroute(self, trigger: Trigger) -> None:
        """Take the route of a trigger away. Raises Unavailable."""
        if trigger.rules.source["type"] == "eventbridge":
            _module("eventbridge").unroute(self._parts, trigger)


def _module(kind: str) -> Any:
    return import_module(f"chalicelib.adapters.sources.{kind}")

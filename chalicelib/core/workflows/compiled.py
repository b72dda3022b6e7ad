"""Definitions ready to be walked, kept by their text: a version never changes."""

from __future__ import annotations

import json
from functools import cache, lru_cache
from typing import Final

from chalicelib.core.workflows import graph
from chalicelib.core.workflows.definition import WorkflowDefinition
from chalicelib.core.workflows.graph import Graph
from chalicelib.core.workflows.parse import parse

COMPILED_KEPT: Final = 256


class CompiledWorkflow:
    """A definition, and the graph of a run or of an item of it."""

    def __init__(self, definition: WorkflowDefinition) -> None:
        self.definition = definition
        self.whole = graph.whole(definition)
        self._raw = cache(self._raw_of)
        self.graph = cache(self._graph_of)

    def _raw_of(self, scope: tuple[str, ...]) -> Graph:
        return graph.of_item(self._raw(scope[:-1]), scope[-1]) if scope else self.whole

    def _graph_of(self, scope: tuple[str, ...]) -> Graph:
        """What a run walks: ``scope`` names the foreach nodes around it, the outermost first."""
        return graph.without_bodies(self._raw(scope))


@lru_cache(maxsize=COMPILED_KEPT)
def of_text(document: str) -> CompiledWorkflow:
    """The compiled form of a stored document."""
    return CompiledWorkflow(parse(json.loads(document)))

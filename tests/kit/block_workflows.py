"""Random workflows that are shaped in blocks: lines, choices, branches that join, and bodies of a foreach."""

from __future__ import annotations

import random
from typing import Any


class BlockWorkflow:
    """One of them. Every output is an object with the number ``n``."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"blocks/{seed}")
        self.nodes: list[dict[str, Any]] = [{"id": "t", "type": "trigger", "on": "manual"}]
        self.edges: list[dict[str, Any]] = []
        self._count = 0
        last, value = "t", "input"
        for _ in range(self._random.choice((1, 2, 3, 4))):
            last, value = self._block(last, value, depth=0)
        self._shaping(last, value, code='{"n": n}')
        self.input = {"n": self._random.randrange(10), "items": [self._random.randrange(9) for _ in range(3)]}

    @property
    def document(self) -> dict[str, Any]:
        return {"name": "blocks", "nodes": self.nodes, "edges": self.edges}

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"

    def _edge(self, source: str, target: str, case: str = "") -> None:
        self.edges.append({"from": source, "to": target, **({"case": case} if case else {})})

    def _block(self, last: str, value: str, depth: int, case: str = "") -> tuple[str, str]:
        """Something that follows ``last``, which came to ``value``; what it ends with, and what that came to."""
        kinds = ["shape"] * 3 + (["both", "choice", "each", "wait"] if depth < 2 else [])
        kind = self._random.choice(kinds)
        if kind == "both":
            return self._both(last, value, depth, case)
        if kind == "choice":
            return self._choice(last, value, depth, case)
        if kind == "each" and depth == 0:
            return self._each(last, value, case)
        if kind == "wait":
            name = self._name("wait")
            self.nodes.append({"id": name, "type": "delay", "for_ms": 0})
            self._edge(last, name, case)
            return name, value
        return self._shaping(last, value, case)

    def _shaping(self, last: str, value: str, case: str = "", code: str = "") -> tuple[str, str]:
        name, number = self._name("shape"), self._random.randrange(1, 9)
        codes = (f'{{"n": n + {number}}}', f'{{"n": n * {number}, "was": n}}', f'{{"n": $max([n, {number}])}}')
        given = {"n": {"cel": f"{value}.n"}}
        jsonata = code or self._random.choice(codes)
        self.nodes.append({"id": name, "type": "transform", "input": given, "jsonata": jsonata})
        self._edge(last, name, case)
        return name, f"nodes.{name}.output"

    def _both(self, last: str, value: str, depth: int, case: str) -> tuple[str, str]:
        split, join = self._name("split"), self._name("join")
        self.nodes.append({"id": split, "type": "parallel"})
        self._edge(last, split, case)
        ends = []
        for _ in range(self._random.choice((2, 3))):
            end, found = self._shaping(split, value)
            for _ in range(self._random.choice((0, 1, 2))):
                end, found = self._block(end, found, depth + 1)
            end, found = self._shaping(end, found)
            self._edge(end, join)
            ends.append(end)
        self.nodes.append({"id": join, "type": "join"})
        chosen = self._random.choice(ends)
        return self._shaping(join, f"nodes.{join}.output.{chosen}")

    def _choice(self, last: str, value: str, depth: int, case: str) -> tuple[str, str]:
        name, join = self._name("choice"), self._name("join")
        over = self._random.randrange(12)
        cases = [{"name": "big", "when": {"cel": f"{value}.n > {over}"}}]
        self.nodes.append({"id": name, "type": "condition", "cases": cases, "default": "small"})
        self._edge(last, name, case)
        for way in ("big", "small"):
            end, found = self._block(name, value, depth + 1, way)
            end, _ = self._shaping(end, found)
            self._edge(end, join)
        self.nodes.append({"id": join, "type": "join", "mode": self._random.choice(("all", "any"))})
        after = self._name("merged")
        code = '{"n": $sum(*.n)}'
        self.nodes.append({"id": after, "type": "transform", "input": {"cel": f"nodes.{join}.output"}, "jsonata": code})
        self._edge(join, after)
        return after, f"nodes.{after}.output"

    def _each(self, last: str, value: str, case: str) -> tuple[str, str]:
        loop, body, join = self._name("each"), self._name("body"), self._name("join")
        self.nodes.append({"id": loop, "type": "parallel", "foreach": {"items": {"cel": "input.items"}}})
        self._edge(last, loop, case)
        given = {"item": {"cel": "item"}, "n": {"cel": f"{value}.n"}}
        self.nodes.append({"id": body, "type": "transform", "input": given, "jsonata": '{"n": n + item}'})
        self._edge(loop, body)
        self._edge(body, join)
        self.nodes.append({"id": join, "type": "join"})
        after = self._name("sum")
        given = {"all": {"cel": f"nodes.{join}.output"}}
        self.nodes.append({"id": after, "type": "transform", "input": given, "jsonata": '{"n": $sum(all.n)}'})
        self._edge(join, after)
        return after, f"nodes.{after}.output"

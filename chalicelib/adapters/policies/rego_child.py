"""A process that judges modules of Rego, run as a script with the folder of the engine as its argument.

The engine is native code without limits of its own. A loop takes as long as it takes, and recursion ends the process.
So it runs here, with little memory, and who asks ends it when it takes too long. Nothing of the product is imported.
One line of JSON in, one out: ``[check?, module, question]``, and ``[holds or syntax tree, problem]``.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

MEMORY_MAX_BYTES = 512 * 1024 * 1024
ENGINES_KEPT = 64
PROBLEM_MAX_CHARS = 300
RULE = "allow"


class Judge:
    """The engines of modules, made once each."""

    def __init__(self, engine_class: Any) -> None:
        self._class = engine_class
        self._kept: dict[str, tuple[Any, str]] = {}

    def check(self, module: str, question: str) -> list[Any]:
        """The syntax tree of a module, and what the engine finds wrong before it runs it. It is run once: one that
        ends the process must not be published. An error in a run may be due to the question."""
        engine = self._class()
        engine.add_policy("module", module)
        tree = json.loads(engine.get_ast_as_json())[0]["ast"]
        try:
            engine.eval_query("true")
        except BaseException as problem:  # the engine's own kinds
            return [tree, _said(problem)]
        try:
            self.ask(module, question)
        except BaseException as problem:
            return [tree, _said(problem) if "conflict" in str(problem) else ""]
        return [tree, ""]

    def ask(self, module: str, question: str) -> list[Any]:
        """Whether ``allow`` is true: anything else, also nothing, is a no."""
        engine, package = self._kept.get(module) or self._made(module)
        engine.set_input_json(question)
        found = json.loads(engine.eval_query_as_json(f"{package}.{RULE}")).get("result") or []
        values = [each["value"] for row in found for each in row["expressions"]]
        return [len(values) == 1 and values[0] is True, ""]

    def _made(self, module: str) -> tuple[Any, str]:
        engine = self._class()
        made = engine, engine.add_policy("module", module)
        if len(self._kept) >= ENGINES_KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[module] = made
        return made


def _said(problem: BaseException) -> str:
    """Where the engine found what, in one line."""
    lines = [part.strip() for part in str(problem).partition("Stack backtrace")[0].splitlines()]
    kept = [line for line in lines if line.startswith(("-->", "error:"))]
    return " ".join(kept)[:PROBLEM_MAX_CHARS] or "the engine failed"


def main() -> None:
    """Answer lines until there are no more."""
    sys.path.insert(0, sys.argv[1])
    from regorus import Engine

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
    judge = Judge(Engine)
    for line in sys.stdin:
        is_check, module, question = json.loads(line)
        try:
            answer = (judge.check if is_check else judge.ask)(module, question)
        except BaseException as problem:  # the engine's own kinds: a fault of a module must not end the process
            answer = [None, _said(problem)]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

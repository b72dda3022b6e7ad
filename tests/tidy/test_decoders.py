"""Types are read by ``core.decoders`` alone: two threads that let msgspec look at a type at once end the process."""

from __future__ import annotations

import ast

from tests.tidy.sources import product

# Functions that run on one thread each, and take JSON that is not strict.
ONE_THREAD = frozenset({"chalicelib/functions/declare.py"})
OWN = "chalicelib/core/decoders.py"


def _looks_at_a_type(call: ast.Call) -> bool:
    said = ast.unparse(call.func)
    typed = len(call.args) > 1 or any(k.arg in ("type", None) for k in call.keywords)
    return (
        said == "msgspec.convert"
        or (said.endswith("json.Decoder") and bool(call.args or call.keywords))
        or (said == "msgspec.json.decode" and typed)
    )


def _lines(tree: ast.AST) -> list[int]:
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Call) and _looks_at_a_type(node)]


def test_only_decoders_let_msgspec_look_at_types() -> None:
    sources = [source for source in product() if source.path not in ONE_THREAD | {OWN}]
    assert not [f"{source.path}:{line}: use core.decoders" for source in sources for line in _lines(source.tree)]
    for source in sources:
        assert not {"msgspec.convert", "msgspec.json.Decoder", "msgspec.json.decode"} & {n for n, _ in source.imports()}


def test_the_rule_sees_what_it_forbids() -> None:
    text = """
msgspec.json.decode(a)
msgspec.json.Decoder()
msgspec.json.decode(a, type=B)
msgspec.json.Decoder(B)
msgspec.convert(a, B)
"""
    assert _lines(ast.parse(text)) == [4, 5, 6]

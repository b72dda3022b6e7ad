"""What a module of Rego may do, judged by its syntax tree when its policy is published.

The functions that it may call were each compared with Open Policy Agent. Any other is refused: an engine that does not
know a function leaves the rule undefined, which no one would notice. Left out are also those that call out, that depend
on the time or on chance, and that make much out of little.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

RULE: Final = "allow"
ALLOWED: Final = frozenset(
    {
        "abs", "array.concat", "array.reverse", "array.slice", "ceil", "concat", "contains", "count", "endswith",
        "floor", "format_int", "indexof", "intersection", "is_array", "is_boolean", "is_null", "is_number", "is_object",
        "is_set", "is_string", "lower", "max", "min", "net.cidr_contains", "object.get", "object.keys", "object.remove",
        "object.union", "product", "regex.match", "replace", "round", "sort", "split", "sprintf", "startswith",
        "strings.any_prefix_match", "strings.any_suffix_match", "strings.reverse", "substring", "sum", "to_number",
        "trim", "trim_left", "trim_prefix", "trim_right", "trim_space", "trim_suffix", "type_name", "union", "upper",
    }
)  # fmt: skip


def problem(tree: Any) -> str | None:
    """What keeps a module from being published; None: nothing."""
    called, defined, rules, replaces = set[str](), set[str](), set[str](), False
    for node in _nodes(tree):
        if "Call" in node:
            called.add(_name(node["Call"].get("fcn")))
        for kind, names in (("Func", defined), ("Compr", rules)):
            if isinstance(node.get(kind), dict) and "refr" in node[kind]:
                names.add(_name(node[kind]["refr"]))
        replaces = replaces or bool(node.get("with_mods"))
    unknown = sorted(called - defined - ALLOWED)
    if unknown:
        return f"calls {unknown[0]}, which is none of the functions that are taken"
    if replaces:
        return "uses with, which is not taken"
    return None if RULE in rules else f"has no rule {RULE}"


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _name(node: Any) -> str:
    """``a.b.c`` of a reference; what is none has a name that no function has."""
    if isinstance(node, dict):
        if "Var" in node:
            return str(node["Var"].get("value"))
        if "RefDot" in node:
            return f"{_name(node['RefDot'].get('refr'))}.{node['RefDot']['field'][1]}"
    return "?"

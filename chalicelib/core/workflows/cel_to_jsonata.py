"""The part of CEL that says the same in JSONata: paths, literals, comparisons, logic, arithmetic, a few functions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<name>[A-Za-z_]\w*)
    |(?P<op>==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()\[\]{}]))""",
    re.VERBOSE | re.ASCII,
)
_WORDS: Final[Mapping[str, str]] = {"==": "=", "!=": "!=", "&&": "and", "||": "or"}
_LEVELS: Final = (("||",), ("&&",), ("==", "!=", "<", "<=", ">", ">=", "in"), ("+", "-"), ("*", "/", "%"))
_FUNCTIONS: Final[Mapping[str, str]] = {"num": "$number", "string": "$string", "has": "$exists"}


class NoJsonata(Exception):
    """Raised for an expression that JSONata cannot say, or that would mean something else there."""


class _Value:
    """A piece of JSONata, and what is known of its type: text, number or nothing."""

    def __init__(self, text: str, kind: str = "") -> None:
        self.text = text
        self.kind = kind


def translate(text: str, root: Callable[[list[str]], str]) -> str:
    """The JSONata of an expression. ``root`` gives that of a path: its first names, and those that follow."""
    reader = _Reader(_tokens(text), root)
    found = reader.choice()
    if reader.peek():
        raise NoJsonata(f"{reader.peek()} is not expected here")
    return found.text


def _tokens(text: str) -> list[tuple[str, str]]:
    found, place = [], 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            raise NoJsonata(f"{text[place:].strip()[:20]} has no form in JSONata")
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        place = match.end()
    return found


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]], root: Callable[[list[str]], str]) -> None:
        self._tokens = tokens
        self._root = root

    def peek(self) -> str:
        return self._tokens[0][1] if self._tokens and self._tokens[0][0] != "string" else ""

    def _take(self) -> tuple[str, str]:
        if not self._tokens:
            raise NoJsonata("the expression ends too early")
        return self._tokens.pop(0)

    def _expect(self, text: str) -> None:
        if self._take()[1] != text:
            raise NoJsonata(f"{text} is missing")

    def choice(self) -> _Value:
        found = self._binary(0)
        if self.peek() != "?":
            return found
        self._take()
        yes = self.choice()
        self._expect(":")
        no = self.choice()
        return _Value(f"({found.text} ? {yes.text} : {no.text})", yes.kind if yes.kind == no.kind else "")

    def _binary(self, level: int) -> _Value:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while self.peek() in _LEVELS[level]:
            op = self._take()[1]
            left = _joined(left, op, self._binary(level + 1))
        return left

    def _unary(self) -> _Value:
        if self.peek() == "!":
            self._take()
            return _Value(f"$not({self._unary().text})")
        if self.peek() == "-":
            self._take()
            return _Value(f"(-{self._unary().text})", "number")
        return self._path()

    def _path(self) -> _Value:
        kind, text = self._take()
        if kind == "number":
            return _Value(text, "number")
        if kind == "string":
            return _Value(json.dumps(json.loads(_double_quoted(text)), ensure_ascii=False), "text")
        if text == "(":
            found = self.choice()
            self._expect(")")
            return _Value(f"({found.text})", found.kind)
        if text == "[":
            return _Value("[" + ", ".join(one.text for one in self._list("]")) + "]")
        if kind != "name":
            raise NoJsonata(f"{text} has no form in JSONata")
        if text in ("true", "false", "null"):
            return _Value(text)
        return self._named(text)

    def _named(self, name: str) -> _Value:
        if self.peek() == "(":
            if name not in _FUNCTIONS:
                raise NoJsonata(f"the function {name} has no form in JSONata")
            self._take()
            given = ", ".join(one.text for one in self._list(")"))
            return _Value(f"{_FUNCTIONS[name]}({given})", {"num": "number", "string": "text"}.get(name, ""))
        names = [name]
        while self.peek() in (".", "["):
            if self._take()[1] == ".":
                kind, more = self._take()
                if kind != "name" or self.peek() == "(":
                    raise NoJsonata(f"the function {more} has no form in JSONata")
                names.append(more)
            else:
                kind, more = self._take()
                if kind != "string":
                    raise NoJsonata("an index has no form in JSONata that means the same")
                names.append(json.loads(_double_quoted(more)))
                self._expect("]")
        return _Value(self._root(names))

    def _list(self, end: str) -> list[_Value]:
        found: list[_Value] = []
        while self.peek() != end:
            found.append(self.choice())
            if self.peek() == ",":
                self._take()
        self._take()
        return found


def _joined(left: _Value, op: str, right: _Value) -> _Value:
    if op in ("+", "-", "*", "/", "%"):
        kinds = {left.kind, right.kind}
        if op == "/":
            raise NoJsonata("/ of integers is another number in JSONata")
        if op == "+" and "text" in kinds:
            return _Value(f"({left.text} & {right.text})", "text")
        if op == "+" and "number" not in kinds:
            raise NoJsonata("+ of what may be text or a number: write num(…) or string(…)")
        return _Value(f"({left.text} {op} {right.text})", "number")
    return _Value(f"({left.text} {_WORDS.get(op, op)} {right.text})")


def _double_quoted(text: str) -> str:
    if text[0] == '"':
        return text
    return '"' + text[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'

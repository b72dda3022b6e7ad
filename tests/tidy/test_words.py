"""Comments, docstrings and messages of the product name their subject, and docstrings are short sentences."""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.language import RIDDLES, findings
from tests.tidy.sources import ROOT

FOLDERS = ("chalicelib", "localdev", "infra", "container")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
# Words that only this code used, and the field's word for each.
PRIVATE = {
    r"(?<!in[- ])flights?": "delivery",  # what is in flight is plain
    r"departures?": "admission",
    r"see(?:s|n|ing)? off": "finish",
    r"forsak\w+|forsook": "abandon",
    r"(?:no|any|some)one": "the worker, the caller, the holder",
    r"untold|telling": "unsent, emitted",
    r"look(?:s|ed|ing)? (?:at|again)|(?:an?|one|every|each) look(?!-)": "check, read",
    r"owes?": "an instant is owed under a version",
}
_PRIVATE = {re.compile(rf"\b(?:{found})\b", re.IGNORECASE): instead for found, instead in PRIVATE.items()}
# A name in code marks keeps its spelling: stored fields such as ``told`` stay as they are.
_NAME = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)


def _texts(source: str) -> Iterator[tuple[int, str]]:
    """Each comment, docstring and message of a module, with its first line. A string of one word is a name."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def _riddles(source: str) -> list[str]:
    found = []
    for first, text in _texts(source):
        plain = _NAME.sub(lambda name: "\n" * name[0].count("\n"), text)
        words = [(word, "name the subject") for word in RIDDLES.finditer(plain)]
        words += [(word, instead) for private, instead in _PRIVATE.items() for word in private.finditer(plain)]
        found += [f"{first + plain[: word.start()].count(chr(10))}: {word[0]!r}: {how}" for word, how in words]
    return found


def _long_sentences(source: str) -> list[str]:
    """The sentences of docstrings that are too long, with the first line of their paragraph."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            # What is indented, and the rows between the rules of a table, is no prose.
            prose = [
                "" if line.startswith("    ") or "  " in line.strip() else line
                for line in inspect.cleandoc(node.value.value).splitlines()
            ]
            found += [f"{node.lineno + each.line - 1}: {each.problem}" for each in findings("\n".join(prose))]
    return [each for each in found if " words, at most " in each]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_comments_docstrings_and_messages_name_their_subject(module: Path) -> None:
    found = _riddles(module.read_text())
    assert not found, "\n".join(f"{module.relative_to(ROOT)}:{each}" for each in found)


def test_the_modules_of_all_three_folders_are_found() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(FOLDERS)


@pytest.mark.parametrize(
    ("source", "line", "word"),
    [
        ('"""Nobody knows."""\n', 1, "Nobody"),
        ('"""One.\n\nThe log tells.\n"""\n', 3, "tells"),
        ("x = 1\ny = 2  # whoever asks\n", 2, "whoever"),
        ('def f():\n    """It is told."""\n', 2, "told"),
        ('class A:\n    x: int\n    """What a look at it finds."""\n', 3, "a look"),
        ("# the flights of a worker\n", 1, "flights"),
        ('raise E(f"{name} was told")\n', 1, "told"),
        ("# it looks again\n", 1, "looks again"),
        ("# `kept`, and what the schedule owes\n", 1, "owes"),
    ],
)
def test_a_riddle_is_found_with_its_line(source: str, line: int, word: str) -> None:
    (found, *_) = _riddles(source)
    assert found.startswith(f"{line}: {word!r}: ")


@pytest.mark.parametrize(
    "source",
    [
        '"""Whether it was sent: ``told``."""\ntold = "nobody"\n',
        "# an owed instant in flight costs a look-up\n",
        "told = tell(1)\n",
    ],
)
def test_names_and_plain_words_are_left_alone(source: str) -> None:
    assert _riddles(source) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_are_short_sentences(module: Path) -> None:
    found = _long_sentences(module.read_text())
    assert not found, "\n".join(f"{module.relative_to(ROOT)}:{each}" for each in found)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('"""' + "so " * 26 + '."""\n', 1),
        ('"""One.\n\n' + "so " * 26 + '.\n"""\n', 3),
        ('def f():\n    """One.\n\n    - short\n    - ' + "so " * 26 + '.\n    """\n', 5),
    ],
)
def test_a_long_sentence_is_found_with_its_line(source: str, line: int) -> None:
    (found,) = _long_sentences(source)
    assert found.startswith(f"{line}: 26 words, at most 25")


@pytest.mark.parametrize(
    "source",
    [
        '"""' + "so " * 20 + ". Then\n" + "so " * 20 + '."""\n',
        '"""One.\n\n    ' + "so " * 26 + '\n\nTwo.\n"""\n',
        "# " + "so " * 30 + "\n",
    ],
)
def test_short_sentences_and_drawings_are_left_alone(source: str) -> None:
    assert _long_sentences(source) == []

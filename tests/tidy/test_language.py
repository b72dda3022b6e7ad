"""Pages are plain English: short sentences, wrapped lines, and a subject that is named."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.tidy.language import LINE_MAX_CHARS, findings, sentences
from tests.tidy.sources import ROOT

PAGES = sorted(
    {*subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()}
)
PLAIN = "The worker takes a message. It claims the execution, e.g. `x. Y`, within 1.5 s. Then it waits.\n"


def test_pages_are_found() -> None:
    assert {"README.md", "docs/api.md", "docs/architecture.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_plain_english(page: str) -> None:
    found = findings((ROOT / page).read_text())
    assert not found, "\n".join(f"{page}:{line}: {problem}" for line, problem in found)


@pytest.mark.parametrize(
    ("sample", "line", "problem"),
    [
        (f"# A\n\n{'a' * (LINE_MAX_CHARS + 1)}\n", 3, "121 characters"),
        ("Nobody knows the target.\n", 1, "'Nobody'"),
        ("| what | who |\n| --- | --- |\n| a pause | is told |\n", 3, "'told'"),
        ("# Somebody asks\n", 1, "'Somebody'"),
        ("One.\n\n" + "so " * 20 + "\n" + "so " * 6 + ".\n", 3, "26 words"),
        ("- short\n- " + "so " * 26 + "\n", 2, "26 words"),
        ("1. " + "so; " * 26 + "\n", 1, "26 words"),
        ("`a b c` " + "so " * 25 + "\n", 1, "26 words"),
        ("[a b](https://c.d) " + "so " * 24 + "\n", 1, "26 words"),
        ("```\nwhoever\n```\nwhoever\n", 4, "'whoever'"),
    ],
)
def test_what_is_hard_to_read_is_found_with_its_line(sample: str, line: int, problem: str) -> None:
    (found,) = findings(PLAIN + "\n" + sample)
    assert found.line == line + 2
    assert problem in found.problem


@pytest.mark.parametrize(
    "sample",
    [
        f"| {'word ' * 40} |\n",
        f"```\n{'word ' * 40}nobody\n```\n",
        f"`{'word ' * 20}nobody`\n",
        f"# {'word ' * 22}\n",
        "- " + "so " * 25 + "\n- " + "so " * 25 + "\n",
        "so " * 20 + "ends. " + "\n**Another** " + "so " * 20 + "\n",
    ],
)
def test_tables_code_and_short_items_are_left_alone(sample: str) -> None:
    assert findings(sample) == []


def test_sentences_end_at_full_stops_before_a_beginning_only() -> None:
    assert len(sentences("Within 1.5 s, e.g. Python 3.11, i.e. `a. B`, it ends.")) == 1
    assert len(sentences("It ends. `next_run` moves. (It stays.) **Never** twice? No! 3 times.")) == 6


_OUTSIDE = re.compile(r"\bthe contract\b(?!\s+(?:suite|that all stores share))", re.IGNORECASE)


def test_no_text_points_outside_the_repository() -> None:
    assert _OUTSIDE.search("The metrics of the contract, section 11.")
    named = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.sh", "scripts/*"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    here = f"tests/tidy/{__name__.rpartition('.')[2]}.py"
    pointing = [
        path
        for path in named.stdout.split()
        if path != here and (ROOT / path).is_file() and _OUTSIDE.search((ROOT / path).read_text())
    ]
    assert not pointing

"""The table of promises in docs/simulation.md: its words stand in the pages, and what is to hold them exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.simulation import checkers, mutants

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "docs/policies.md",
    "docs/backpressure.md",
    "docs/api.md",
    "docs/workflows.md",
    "docs/monitors.md",
    "docs/notifications.md",
)
SECTIONS = {
    "docs/api.md": "## Executions",
    "docs/workflows.md": "## Guarantees",
}  # of the page whose other parts promise nothing of this kind
# Items of the pages that say how it is done or what it costs.
JUDGES = (*checkers.FIRINGS, *checkers.WORKFLOWS, *checkers.ALERTS)
NO_PROMISE = ("**Cost.**", "**Why it is right.**")


class Row(NamedTuple):
    """One line of the table: ``checker`` is the name of one, or begins with ``none:`` and says why."""

    page: str
    words: str
    checker: str
    mutants: tuple[str, ...]


def rows() -> list[Row]:
    section = (ROOT / "docs/simulation.md").read_text().partition("\n## Promises\n")[2].partition("\n## ")[0]
    found = []
    for part in section.split("\n### ")[1:]:
        page = part.partition("\n")[0].strip("`")
        for words, checker, names in re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", part, re.MULTILINE)[2:]:
            found.append(Row(page, words, checker.strip("`"), tuple(re.findall(r"`([\w-]+)`", names))))
    return found


def text_of(page: str) -> str:
    text = (ROOT / page).read_text()
    start = SECTIONS.get(page)
    return text if start is None else text.partition(f"\n{start}\n")[2].partition("\n## ")[0]


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def items(page: str) -> list[str]:
    """The items of the lists of a page."""
    found = re.findall(r"^(?:-|\d\.) (.+(?:\n {2,3}\S.*)*)", text_of(page), re.MULTILINE)
    return [plain(item) for item in found]


def test_all_pages_have_their_lines_and_no_line_stands_twice() -> None:
    assert {row.page for row in rows()} == set(PAGES)
    assert len(rows()) > 60
    assert len({(row.page, row.words) for row in rows()}) == len(rows())


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.words[:50])
def test_the_words_stand_in_the_page_and_what_holds_them_exists(row: Row) -> None:
    assert plain(row.words) in plain(text_of(row.page)), f"{row.page} does not say: {row.words}"
    if row.checker.startswith("none:"):
        assert len(row.checker) > 25, "why no checker is possible"
        assert not row.mutants
        return
    assert row.checker in {checker.__name__.rpartition(".")[2] for checker in JUDGES}
    assert row.mutants, f"nothing shows that {row.checker} judges it"
    assert set(row.mutants) <= mutants.MUTANTS.keys()


@pytest.mark.parametrize("page", PAGES)
def test_every_item_of_a_page_has_a_line(page: str) -> None:
    words = [plain(row.words) for row in rows() if row.page == page]
    without = [
        item for item in items(page) if not item.startswith(NO_PROMISE) and not any(text in item for text in words)
    ]
    assert items(page)
    assert not without

"""The way of a firing is told once in code and once in docs/architecture.md: the same steps, in the same order."""

from __future__ import annotations

import ast
import re

from tests.tidy.sources import PRODUCT, ROOT

ENGINE = PRODUCT / "engine"
LONGEST_FUNCTION_LINES = 31  # with its docstring
STEP = re.compile(r"^    ([a-z ]+?)  +\S.*?  +(\S+)$", re.MULTILINE)


def steps_in_code() -> list[tuple[str, str]]:
    """Each step that the pipeline names, and where it says the step is."""
    text = ast.get_docstring(ast.parse((ENGINE / "pipeline.py").read_text()), clean=False)
    assert text is not None
    return STEP.findall(text)


def steps_in_the_document() -> list[tuple[str, str]]:
    section = (
        (ROOT / "docs" / "architecture.md").read_text().partition("## The way of a firing")[2].partition("\n## ")[0]
    )
    rows = re.findall(r"^\| ([a-z ]+) \| ([^|]+) \|", section, re.MULTILINE)
    return [(step, where) for step, where in rows if step != "step"]


def lines_in_the_document() -> list[tuple[str, str, str]]:
    """Each step of the table, the line of the pipeline that it points at, and the rest of the row."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    return re.findall(r"^\| ([a-z ]+) \| [^|]+ \| `([^`|]+)` \| (.+) \|$", text, re.MULTILINE)


def test_the_document_names_the_steps_of_the_pipeline_in_order() -> None:
    code, document = steps_in_code(), steps_in_the_document()
    assert len(code) == 9
    assert [step for step, _ in document] == [step for step, _ in code]
    for (_, module), (_, where) in zip(code, document, strict=True):
        assert f"`{module}`" in where


def test_every_row_points_at_a_line_of_the_pipeline_and_says_what_it_does_and_calls() -> None:
    pipeline = (ENGINE / "pipeline.py").read_text()
    rows = lines_in_the_document()
    assert [step for step, _, _ in rows] == [step for step, _ in steps_in_code()]
    assert not [line for _, line, _ in rows if line not in pipeline]
    assert all(all(cell.strip() for cell in rest.split("|")) and rest.count("|") == 1 for _, _, rest in rows)


def test_every_step_is_a_module_that_is_there() -> None:
    named = [module for _, module in steps_in_code() if module.endswith(".py")]
    named += re.findall(r"`([\w/]+\.py)`", " ".join(where for _, where in steps_in_the_document()))
    assert not [module for module in named if not (ENGINE / module).exists() and not (ROOT / module).exists()]


def test_no_function_of_the_engine_is_longer_than_a_screen() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for path in sorted(ENGINE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION_LINES
    ]
    assert not long

"""What modules of Rego may call: the page names all of it."""

from __future__ import annotations

from chalicelib.core.rules.rego_module import ALLOWED, problem
from tests.tidy.sources import ROOT


def test_the_page_names_every_function_that_may_be_called() -> None:
    page = (ROOT / "docs" / "policy-as-code.md").read_text()
    listed = page.partition("## Rego")[2].partition("```text")[2].partition("```")[0]
    assert sorted(listed.split()) == sorted(ALLOWED)


def test_a_tree_without_anything_has_no_rule() -> None:
    assert problem({"rules": []}) == "has no rule allow"
    assert problem([{"Compr": {"refr": {"Var": {"value": "allow"}}}}]) is None


def test_what_is_called_by_no_plain_name_is_refused() -> None:
    call = {"Call": {"fcn": {"RefBrack": {}}, "params": []}}
    assert problem([call, {"Compr": {"refr": {"Var": {"value": "allow"}}}}]) == (
        "calls ?, which is none of the functions that are taken"
    )

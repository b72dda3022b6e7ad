"""Values go into expressions and come out of them as they are, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.adapters.workflows.cel_expressions import CelExpressions
from chalicelib.ports.workflow_steps import StepFailed

CUT = "admin\0x"


@pytest.mark.parametrize(
    "value",
    [1.0, -0.0, 1e308, 5e-324, 0, -(2**63), 2**53 + 1, True, None, "", "é𝄞\u2028\ufeff\x01", [None, [[]], {}], {"": 1}],
    ids=repr,
)
def test_a_value_is_handed_on_as_it_is(value: Any) -> None:
    assert repr(CelExpressions().evaluate("input", {"input": value})) == repr(value)


@pytest.mark.parametrize("given", [CUT, [CUT], {"a": {"b": CUT}}, {"a": {CUT: 1}}], ids=repr)
def test_text_that_the_library_would_cut_is_an_error(given: Any) -> None:
    with pytest.raises(StepFailed, match=r"U\+0000") as wrong:
        CelExpressions().evaluate('input == "admin"', {"input": given})
    assert wrong.value.error_type == "expression_error"


def test_what_an_expression_does_not_name_may_have_such_text() -> None:
    assert CelExpressions().evaluate("input + 1", {"input": 1, "item": CUT}) == 2

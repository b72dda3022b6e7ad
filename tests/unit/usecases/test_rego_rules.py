"""Rules in Rego: which are asked, and for how long. tests/api/test_policies_rego.py has them as callers meet them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from chalicelib.core.rules import policy, subject
from chalicelib.core.rules.limits import REGO_BUDGET_MS
from chalicelib.core.rules.policy import Match, Rule, WrittenPolicy
from chalicelib.core.schedules.schedule import Key
from chalicelib.ports.rego import RegoAnswer
from chalicelib.usecases import rego_rules
from tests.kit.records import definition
from tests.kit.services import make_services


class Refusing:
    """An engine that refuses everything, and takes ``takes_ms`` for it."""

    def __init__(self, clock: Any, takes_ms: int) -> None:
        self.clock, self.takes_ms, self.asked = clock, takes_ms, 0

    def check(self, _module: str, _place: str) -> None:
        """Take it."""

    def ask(self, _module: str, _question: Mapping[str, Any]) -> RegoAnswer:
        self.asked += 1
        self.clock.sleep_until(self.clock.now_ms() + self.takes_ms)
        return RegoAnswer(False)


def made(name: str, **more: Any) -> policy.CompiledPolicy:
    rule = Rule(name="r", condition={"rego": "package a\nallow := false"}, action="deny", message="m")
    return policy.compile_policy(WrittenPolicy(name=name, rules=(rule,), **more))


def test_only_policies_that_are_about_it_are_asked_and_only_while_there_is_time() -> None:
    plain = make_services()
    engine = Refusing(plain.clock, REGO_BUDGET_MS // 3 + 1)
    s = replace(plain, rego=engine)
    about = subject.of_definition(definition(Key("default", "01KB0E5T0QJ8Z3V7M4N2X9YRSC")), "schedules:edit")
    policies = [made("other", match=Match(tag="t")), *(made(f"p{n}") for n in range(5))]
    found = rego_rules.findings(s, policies, about, {}, s.clock.now_ms())
    assert [f.violation.policy for f in found] == [f"p{n}" for n in range(5)]
    assert engine.asked == 3
    assert [f.violation.message == "m" for f in found] == [True, True, True, False, False]


def test_a_lease_is_never_asked_about() -> None:
    plain = make_services()
    engine = Refusing(plain.clock, 0)
    about = subject.of_lease("leases:break", name="l", owner="o", tenant="default")
    assert rego_rules.findings(replace(plain, rego=engine), [made("p")], about, {}, 0) == ()
    assert engine.asked == 0

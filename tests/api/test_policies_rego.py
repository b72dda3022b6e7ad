"""Rules in Rego as callers meet them: at admission, in evaluations and dry runs, and never before a firing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import InvalidField
from chalicelib.core.rules.limits import REGO_BUDGET_MS, REGO_MAX_CHARS
from chalicelib.ports.rego import RegoAnswer
from chalicelib.usecases.rego_rules import UNANSWERED
from tests.kit.house import RATE, House

POLICIES = "/api/v1/policies"
SCHEDULES = "/api/v1/schedules"
MODULE = "package a\nallow := input.subject.name != null"


class Named:
    """An engine whose modules allow what has a name; ``slow_ms`` is what an answer takes."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.asked: list[Mapping[str, Any]] = []
        self.problem = ""
        self.slow_ms = 0

    def check(self, module: str, place: str) -> None:
        if "bad" in module:
            raise InvalidField.of(place, "is bad")

    def ask(self, _module: str, question: Mapping[str, Any]) -> RegoAnswer:
        self.asked.append(question)
        if self.slow_ms:
            self.house.clock.sleep_until(self.house.clock.now_ms() + self.slow_ms)
        return RegoAnswer(not self.problem and question["subject"].get("name") is not None, self.problem)


@pytest.fixture
def engine(house: House) -> Named:
    made = Named(house)
    house.services = replace(house.services, rego=made)
    return made


def rule(module: Any = MODULE, name: str = "r", **more: Any) -> dict[str, Any]:
    return {"name": name, "condition": {"rego": module}, "action": "deny", "message": "needs a name", **more}


def policy(house: House, *rules: dict[str, Any], **more: Any) -> None:
    answer = house.call("PUT", POLICIES + "/p", {"rules": list(rules), **more})
    assert answer.status in (200, 201), answer.body


def test_it_denies_what_its_module_does_not_allow(house: House, engine: Named) -> None:
    policy(house, rule(), match={"tag": "production"})
    denied = house.call("POST", SCHEDULES, RATE | {"tags": ["production"], "payload": {"p": "hunter2"}})
    assert (denied.status, denied.code) == (403, "policy_denied")
    assert denied.json["violations"] == [
        {"policy": "p", "rule": "r", "field": "", "value": None, "message": "needs a name"}
    ]
    assert engine.asked[0]["action"] == "schedules:create"
    assert "hunter2" not in str(engine.asked)
    assert house.call("POST", SCHEDULES, RATE | {"tags": ["production"], "name": "n"}).status == 201
    assert len(engine.asked) == 2
    assert house.call("POST", SCHEDULES, RATE).status == 201
    assert len(engine.asked) == 2, "the policy is not about it"


def test_no_answer_denies_and_so_does_time_that_is_over(house: House, engine: Named) -> None:
    policy(house, *(rule(name=f"r{n}") for n in range(4)))
    engine.slow_ms = REGO_BUDGET_MS // 2
    denied = house.call("POST", SCHEDULES, RATE | {"name": "n"})
    unanswered = UNANSWERED.format(message="needs a name")
    assert [(v["rule"], v["message"]) for v in denied.json["violations"]] == [("r2", unanswered), ("r3", unanswered)]
    engine.slow_ms, engine.problem = 0, "gave up"
    assert house.call("POST", SCHEDULES, RATE | {"name": "n"}).json["violations"][0]["message"] == unanswered


def test_leases_and_firings_do_not_wait_for_it(house: House, engine: Named) -> None:
    made = house.make()
    policy(house, rule())
    lease = {"name": "l", "holder_id": "h", "ttl_ms": 1_000}
    assert house.call("POST", "/api/v1/leases:acquire", lease).status == 200
    shown = house.call("GET", f"{SCHEDULES}/{made['id']}/policies").json
    assert (shown["decision"], shown["tree"][0]["rules"][0]["outcome"]) == ("allow", "not_applicable")
    assert engine.asked == []


def test_an_evaluation_and_a_dry_run_ask_it(house: House, engine: Named) -> None:
    house.make()
    house.make(name="n")
    policy(house, rule(), {**rule(), "name": "w", "action": "warn"})
    found = house.call("POST", POLICIES + ":evaluate", {"subject": RATE}).json
    assert found["decision"] == "deny"
    assert [(r["rule"], r["outcome"], r["condition"]["holds"]) for r in found["tree"][0]["rules"]] == [
        ("r", "violated", False),
        ("w", "violated", False),
    ]
    done = house.call("POST", POLICIES + "/p:dry-run").json
    assert (done["schedules"], len(done["would_deny"]), done["would_warn"]) == (2, 1, 1)
    assert engine.asked[-1]["action"] == "schedules:edit"


def test_a_dry_run_with_slow_modules_goes_on_by_parts(house: House, engine: Named) -> None:
    for _ in range(12):
        house.make()
    policy(house, rule())
    engine.slow_ms = 900
    judged, query, calls = 0, "", 0
    while True:
        done = house.call("POST", POLICIES + "/p:dry-run", query=query).json
        judged, calls = judged + done["schedules"], calls + 1
        if done["next_page_token"] is None:
            break
        query = f"page_token={done['next_page_token']}"
    assert judged == 12
    assert calls >= 3


def test_an_exception_and_a_warning_hold_for_it_too(house: House, engine: Named) -> None:
    end_ms = house.clock.now_ms() + 60_000
    policy(house, rule(), exceptions=[{"until_unix_ms": end_ms, "match": {"owner": "anonymous"}}])
    assert house.call("POST", SCHEDULES, RATE).status == 201
    policy(house, rule(action="warn"))
    assert house.call("POST", SCHEDULES, RATE).json["warnings"][0]["rule"] == "r"


@pytest.mark.parametrize(
    ("made", "field"),
    [
        (rule("bad"), "rules.0.condition.rego"),
        (rule(""), "rules.0.condition.rego"),
        (rule(7), "rules.0.condition.rego"),
        (rule("x" * (REGO_MAX_CHARS + 1)), "rules.0.condition.rego"),
        (rule(required=True), "rules.0.required"),
        ({**rule(), "condition": {"rego": MODULE, "field": "name"}}, "rules.0.condition"),
        ({**rule(), "condition": {"not": {"rego": MODULE}}}, "rules.0.condition.not.rego"),
    ],
)
def test_what_must_not_be_published_is_named(house: House, engine: Named, made: dict[str, Any], field: str) -> None:
    for answer in (
        house.call("POST", POLICIES, {"name": "p", "rules": [made]}),
        house.call("PUT", POLICIES + "/p", {"rules": [made]}),
    ):
        assert answer.fields == [field]
    proposed = house.call("POST", POLICIES + "/p:dry-run", {"policy": {"rules": [made]}})
    assert proposed.fields == [f"policy.{field}"]
    assert engine.asked == []


def test_without_an_engine_it_is_not_offered_and_one_that_is_kept_denies(house: House, engine: Named) -> None:
    policy(house, rule())
    house.services = replace(house.services, rego=type(make_plain())())
    answer = house.call("PUT", POLICIES + "/q", {"rules": [rule()]})
    assert (answer.status, answer.code, answer.fields) == (422, "not_offered", ["rules.0.condition.rego"])
    assert house.call("POST", SCHEDULES, RATE | {"name": "n"}).code == "policy_denied"
    assert house.call("DELETE", POLICIES + "/p").status == 200


def make_plain() -> Any:
    """The engine of a deployment that has none."""
    return House().services.rego

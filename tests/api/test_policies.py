"""Policies as callers meet them: what they deny, what they say, and how they are kept."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.ports.external_policies import ExternalVerdict
from tests.kit.callers import Everybody, who
from tests.kit.house import RATE, Answer, House
from tests.kit.workflow_calls import ALL, GATE, RUNS, TRIGGER, edges, publish, start

# As its authors wrote it: an assertion, whose action applies where the condition does not hold.
SEED = b"""
name: production-safety
description: What production jobs must keep to
match:
  tag: production
rules:
  - name: require-https
    condition:
      field: webhook.url
      operator: starts_with
      value: "https://"
    action: deny
    message: "Production jobs must use HTTPS"
  - name: naming-convention
    condition:
      field: name
      operator: regex_matches
      value: "^[a-z][a-z0-9-]+$"
    action: warn
    message: "Names are in kebab case"
"""
YAML = {"content-type": "application/yaml"}
POLICIES = "/api/v1/policies"
HTTPS = {"field": "webhook.url", "operator": "starts_with", "value": "https://"}


def rule(condition: dict[str, Any], name: str = "r", action: str = "deny", **more: Any) -> dict[str, Any]:
    return {"name": name, "condition": condition, "action": action, "message": f"{name} is not kept"} | more


def policy(house: House, *rules: dict[str, Any], name: str = "p", **more: Any) -> Answer:
    answer = house.call("POST", POLICIES, {"name": name, "rules": list(rules)} | more)
    assert answer.status == 201, answer.body
    return answer


def webhook(url: str, **more: Any) -> dict[str, Any]:
    return RATE | {"target": {"type": "webhook", "url": url}, "tags": ["production"]} | more


def create(house: House, body: dict[str, Any]) -> Answer:
    return house.call("POST", "/api/v1/schedules", body)


@pytest.fixture
def seeded(house: House) -> House:
    answer = house.call("POST", POLICIES, raw=SEED, headers=YAML)
    assert answer.status == 201, answer.body
    return house


class TestTheSeed:
    def test_what_keeps_to_it_is_created(self, seeded: House) -> None:
        assert create(seeded, webhook("https://example.com/hook")).status == 201

    def test_what_does_not_is_denied_with_everything_named(self, seeded: House) -> None:
        answer = create(seeded, webhook("http://example.com/hook", name="Nightly"))
        assert (answer.status, answer.code) == (403, "policy_denied")
        assert answer.json["violations"] == [
            {
                "policy": "production-safety",
                "rule": "require-https",
                "field": "webhook.url",
                "value": "http://example.com/hook",
                "message": "Production jobs must use HTTPS",
            }
        ]
        assert seeded.call("GET", "/api/v1/schedules").json["items"] == []

    def test_what_has_no_webhook_or_no_such_tag_is_not_concerned(self, seeded: House) -> None:
        assert create(seeded, RATE | {"tags": ["production"]}).status == 201
        assert create(seeded, webhook("http://example.com/hook", tags=[])).status == 201

    @pytest.mark.parametrize("url", ["HTTPS://EXAMPLE.com/Hook", "https://bücher.example/"])
    def test_urls_are_judged_as_they_are_called(self, seeded: House, url: str) -> None:
        assert create(seeded, webhook(url)).status == 201

    def test_a_job_is_judged_too(self, house: House) -> None:
        policy(house, rule(HTTPS))
        job = {"type": "unico", "timestamp": "2030-12-25T10:00:00Z", "webhook_url": "http://example.com/"}
        answer = house.call("POST", "/jobs", job)
        assert (answer.status, answer.code) == (403, "policy_denied")
        assert answer.json["violations"][0]["value"] == "http://example.com/"
        assert house.call("POST", "/jobs", job | {"webhook_url": "https://example.com/"}).status == 201


class TestWherePoliciesAreAsked:
    def test_all_violations_come_together(self, house: House) -> None:
        policy(house, rule(HTTPS, "a"), rule({"field": "name", "operator": "eq", "value": "x"}, "b", required=True))
        policy(house, rule({"field": "owner", "operator": "in", "value": ["bob"]}, "c"), name="q")
        answer = create(house, webhook("http://example.com/"))
        assert [(v["policy"], v["rule"], v["value"]) for v in answer.json["violations"]] == [
            ("p", "a", "http://example.com/"),
            ("p", "b", None),
            ("q", "c", "anonymous"),
        ]

    def test_an_edit_is_judged_as_a_whole_and_a_pause_is_not(self, house: House) -> None:
        made = house.make(**webhook("http://example.com/"))
        path = f"/api/v1/schedules/{made['id']}"
        policy(house, rule(HTTPS))
        assert house.call("PATCH", path, {"sla_ms": 5}).code == "policy_denied"
        assert house.call("GET", path).json["sla_ms"] == 1000
        assert house.call("POST", path + ":pause").status == 200
        assert house.call("POST", path + ":resume").status == 200
        mended = house.call("PATCH", path, {"target": {"type": "webhook", "url": "https://example.com/"}})
        assert mended.status == 200
        assert house.call("DELETE", path).status == 200

    def test_a_trigger_a_backfill_and_a_retry_are_judged(self, house: House) -> None:
        execution_id = house.fire(**webhook("http://example.com/"))
        house.end(execution_id, "failed")
        path = f"/api/v1/schedules/{execution_id[:26]}"
        policy(house, rule(HTTPS))
        now_ms = house.clock.now_ms()
        assert house.call("POST", path + ":trigger").code == "policy_denied"
        span = {"from_unix_ms": now_ms - 60_000, "to_unix_ms": now_ms}
        assert house.call("POST", path + ":backfill", span).code == "policy_denied"
        retried = house.call("POST", f"/api/v1/executions/{execution_id}:retry")
        assert (retried.status, retried.code) == (403, "policy_denied")
        assert house.execution(execution_id).state == "failed"

    def test_import_and_batch_answer_for_each(self, house: House) -> None:
        policy(house, rule(HTTPS))
        bad, good = webhook("http://example.com/", name="bad"), webhook("https://example.com/", name="good")
        for query in ("dry_run=true", ""):
            answer = house.call("POST", "/api/v1/schedules:import", {"schedules": [bad, good]}, query=query)
            refused, made = answer.json["items"]
            assert (refused["action"], refused["error"]["code"], made["action"]) == (
                "refused", "policy_denied", "create",
            )  # fmt: skip
            assert refused["error"]["violations"][0]["rule"] == "r"
        again = good | {"target": {"type": "webhook", "url": "http://example.com/"}}
        for query in ("dry_run=true", ""):
            answer = house.call("POST", "/api/v1/schedules:import", {"schedules": [again]}, query=query)
            assert answer.json["items"][0]["error"]["code"] == "policy_denied"
        done = house.call("POST", "/api/v1/schedules:batch", {"operations": [{"op": "create", "schedule": bad}]})
        [result] = done.json["items"]
        assert (result["status"], result["error"]["code"]) == (403, "policy_denied")

    def test_leases_are_judged_by_rules_of_their_own(self, house: House) -> None:
        policy(
            house,
            rule({"field": "lease.ttl_ms", "operator": "le", "value": 10_000}, "ttl"),
            rule({"field": "lease.action", "operator": "ne", "value": "leases:break"}, "break"),
            rule({"field": "name", "operator": "exists"}, "named", required=True),
        )
        ask = {"name": "deploy", "holder_id": "h", "ttl_ms": 20_000}
        answer = house.call("POST", "/api/v1/leases:acquire", ask)
        assert (answer.code, answer.json["violations"][0]["rule"]) == ("policy_denied", "ttl")
        granted = house.call("POST", "/api/v1/leases:acquire", ask | {"ttl_ms": 5_000})
        assert granted.status == 200
        renewal = {"name": "deploy", "holder_id": "h", "fencing_token": granted.json["fencing_token"]}
        assert house.call("POST", "/api/v1/leases:renew", renewal | {"ttl_ms": 20_000}).code == "policy_denied"
        assert house.call("POST", "/api/v1/leases:renew", renewal).status == 200
        assert house.call("POST", "/api/v1/leases:break", {"name": "deploy"}).code == "policy_denied"

    def test_workflows_are_judged_when_they_are_published_started_and_approved(self, house: House) -> None:
        policy(
            house,
            rule({"not": {"field": "workflow.hosts", "operator": "contains", "value": "evil.example"}}, "host"),
            rule({"field": "workflow.node_count", "operator": "le", "value": 3}, "size"),
            rule({"field": "name", "operator": "exists"}, "named", required=True),
        )
        call = {"id": "h", "type": "http", "method": "GET", "url": "https://Evil.example/x"}
        bad = {"nodes": [TRIGGER, call], "edges": edges(("t", "h"))}
        answer = house.call("POST", ALL, {"name": "bad", **bad})
        assert (answer.code, [v["rule"] for v in answer.json["violations"]]) == ("policy_denied", ["host"])
        publish(house, nodes=[TRIGGER, GATE], edges=edges(("t", "g")))
        assert house.call("PUT", f"{ALL}/w", bad).code == "policy_denied"
        run = start(house)
        policy(house, rule({"field": "workflow.action", "operator": "eq", "value": "workflows:publish"}), name="q")
        refused = house.call("POST", f"{ALL}/w:start", {})
        assert (refused.status, refused.code) == (403, "policy_denied")
        nonce = house.call("GET", f"{RUNS}/{run}").json["nodes"]["g"]["approval"]["nonce"]
        decision = house.call("POST", f"{RUNS}/{run}/nodes/g:approve", {"nonce": nonce})
        assert decision.code == "policy_denied"
        assert house.call("POST", f"{RUNS}/{run}:cancel", {}).status == 202, "nothing keeps a caller from stopping"
        assert house.call("POST", f"{RUNS}/{run}:redrive", {}).code == "policy_denied"
        asked = {"subject": {"name": "w", "node_count": 9}, "action": "workflows:publish"}
        said = house.call("POST", f"{POLICIES}:evaluate", asked)
        assert [v["rule"] for v in said.json["violations"]] == ["size"], said.body

    def test_a_policy_that_only_audits_lets_pass(self, house: House) -> None:
        policy(house, rule(HTTPS), mode="audit")
        policy(house, rule(HTTPS, action="warn"), rule(HTTPS, "s", action="audit"), name="q")
        assert create(house, webhook("http://example.com/")).status == 201

    def test_an_exception_lets_pass_until_its_end(self, house: House) -> None:
        made = house.make(**webhook("http://example.com/"))
        end_ms = house.clock.now_ms() + 60_000
        policy(
            house, rule(HTTPS), exceptions=[{"until_unix_ms": end_ms, "schedule_id": made["id"], "reason": "moving"}]
        )
        path = f"/api/v1/schedules/{made['id']}"
        assert house.call("POST", path + ":trigger").status == 202
        shown = house.call("GET", path + "/policies").json
        assert shown["decision"] == "allow"
        assert shown["violations"][0]["excepted_until_unix_ms"] == end_ms
        assert shown["tree"][0]["rules"][0]["outcome"] == "excepted"
        house.clock.sleep_until(end_ms)
        assert house.call("POST", path + ":trigger").code == "policy_denied"
        assert house.call("GET", path + "/policies").json["decision"] == "deny"

    def test_no_policy_keeps_an_administrator_from_policies_keys_and_roles(self, house: House) -> None:
        never = {"field": "action", "operator": "eq", "value": "nothing"}
        policy(house, rule(never, required=True), rule({"field": "lease.name", "operator": "absent"}, "s"))
        assert create(house, RATE).code == "policy_denied"
        assert house.call("PUT", "/api/v1/roles/helper", {"permissions": ["schedules:read"]}).status == 201
        assert house.call("POST", "/api/v1/keys", {"name": "k"}).status == 201
        assert house.call("DELETE", POLICIES + "/p").status == 200
        assert create(house, RATE).status == 201

    def test_another_tenants_policies_are_not_asked(self, house: House) -> None:
        policy(house, rule(HTTPS))
        house.authenticator = Everybody(who("alice", "admin", tenant="other"))
        assert create(house, webhook("http://example.com/")).status == 201
        assert house.call("GET", POLICIES).json["items"] == []


class Engine:
    """An engine beside the service; ``verdict`` is its answer to everything."""

    is_on = True

    def __init__(self, verdict: ExternalVerdict) -> None:
        self.verdict = verdict
        self.asked: list[Any] = []

    def decide(self, question: Any) -> ExternalVerdict:
        self.asked.append(question)
        return self.verdict


def test_an_engine_beside_the_service_has_a_say(house: House) -> None:
    engine = Engine(ExternalVerdict(False, ("not on Fridays",), "d-1"))
    house.services = replace(house.services, external_policies=engine)
    answer = create(house, webhook("https://example.com/", payload={"secret": "s3cr3t"}))
    assert answer.json["violations"] == [
        {"policy": "opa", "rule": "opa", "field": "", "value": None, "message": "not on Fridays", "decision_id": "d-1"}
    ]
    [question] = engine.asked
    assert question["action"] == "schedules:create"
    assert question["subject"]["target"]["url"] == "https://example.com/"
    assert "s3cr3t" not in str(question)
    engine.verdict = ExternalVerdict(True, (), "d-2")
    assert create(house, RATE).status == 201


class TestEvaluate:
    def test_explains_as_a_tree_with_values(self, house: House) -> None:
        either = {"any": [HTTPS, {"not": {"field": "tags", "operator": "contains", "value": "production"}}]}
        policy(house, rule(either))
        body = {"subject": webhook("HTTP://Example.com/"), "action": "schedules:create"}
        found = house.call("POST", POLICIES + ":evaluate", body).json
        assert found["decision"] == "deny"
        [violation] = found["violations"]
        assert (violation["field"], violation["value"]) == ("webhook.url", "HTTP://Example.com/")
        [explained] = found["tree"][0]["rules"]
        assert explained["outcome"] == "violated"
        first, second = explained["condition"]["parts"]
        assert (first["holds"], first["value"], first["expected"]) == (False, "HTTP://Example.com/", "https://")
        assert (second["combinator"], second["parts"][0]["value"]) == ("not", ["production"])

    def test_what_is_left_out_has_its_default(self, house: House) -> None:
        policy(house, rule({"field": "timezone", "operator": "eq", "value": "Europe/Berlin"}))
        found = house.call("POST", POLICIES + ":evaluate", {"subject": RATE, "action": "schedules:create"}).json
        assert (found["decision"], found["violations"][0]["value"]) == ("deny", "UTC")

    def test_null_counts_as_absent(self, house: House) -> None:
        policy(house, rule({"field": "name", "operator": "eq", "value": "x"}))
        body = {"subject": RATE | {"name": None}, "action": "schedules:create"}
        found = house.call("POST", POLICIES + ":evaluate", body).json
        assert (found["decision"], found["tree"][0]["rules"][0]["outcome"]) == ("allow", "not_applicable")

    def test_a_lease(self, house: House) -> None:
        policy(house, rule({"field": "lease.name", "operator": "starts_with", "value": "team-"}))
        body = {"subject": {"name": "x", "holder_id": "h", "ttl_ms": 1}, "action": "leases:acquire"}
        assert house.call("POST", POLICIES + ":evaluate", body).json["violations"][0]["value"] == "x"


class TestDryRun:
    def test_names_what_would_be_denied_and_writes_nothing(self, house: House) -> None:
        bad, good = house.fire(**webhook("http://example.com/")), house.fire(**webhook("https://example.com/"))
        policy(house, rule(HTTPS), mode="audit")
        answer = house.call("POST", POLICIES + "/p:dry-run")
        assert answer.json["schedules"] == 2
        [denial] = answer.json["would_deny"]
        assert (denial["schedule_id"], denial["rule"], denial["message"]) == (bad[:26], "r", "r is not kept")
        assert (answer.json["firings"], answer.json["would_reject"]) == (2, 1)
        assert answer.json["next_page_token"] is None
        assert {house.execution(e).state for e in (bad, good)} == {"pending"}

    def test_compares_a_proposed_form_with_the_one_of_now(self, house: House) -> None:
        house.make(**webhook("http://example.com/"))
        house.make(**webhook("https://example.com/"))
        policy(house, rule(HTTPS))
        proposed = {"rules": [rule({"field": "webhook.url", "operator": "url_scheme", "value": ["http"]})]}
        answer = house.call("POST", POLICIES + "/p:dry-run", {"policy": proposed}).json
        assert (answer["now_denied"], answer["no_longer_denied"]) == (1, 1)
        assert house.call("GET", POLICIES + "/p").json["rules"][0]["condition"] == HTTPS

    def test_all_policies_at_once_in_parts(self, house: House) -> None:
        for n in range(3):
            house.make(**webhook(f"http://example.com/{n}"))
        policy(house, rule(HTTPS))
        policy(house, rule({"field": "name", "operator": "exists"}), name="q")
        answer = house.call("POST", POLICIES + ":dry-run").json
        assert len(answer["would_deny"]) == 6

    def test_a_page_token_is_good_for_its_own_policy_only(self, house: House) -> None:
        policy(house, rule(HTTPS))
        assert house.call("POST", POLICIES + "/p:dry-run", query="page_token=x").status == 400


def test_where_a_policy_is_used_and_what_it_says_there(house: House) -> None:
    bad, good = webhook("http://example.com/", name="bad"), webhook("https://example.com/", name="good")
    for body in (bad, good, RATE | {"name": "other"}):
        house.make(**body)
    policy(house, rule(HTTPS), match={"tag": "production"})
    found = house.call("GET", POLICIES + "/p/schedules").json["items"]
    assert [(use["name"], use["verdict"]["rules"][0]["outcome"]) for use in found] == [
        ("good", "holds"), ("bad", "violated"),
    ]  # fmt: skip
    house.authenticator = Everybody(who("bob", "user"))
    assert house.call("GET", POLICIES + "/p/schedules").json["items"] == []


class TestKeeping:
    def test_list_get_put_delete(self, house: House) -> None:
        made = policy(house, rule(HTTPS), match={"tag": "production"}, description="d")
        assert made.json["mode"] == "enforce"
        assert house.call("GET", POLICIES + "/p").json == made.json
        assert [p["name"] for p in house.call("GET", POLICIES).json["items"]] == ["p"]
        other = {"rules": [rule(HTTPS, action="warn")]}
        house.clock.sleep_until(house.clock.now_ms() + 1)
        stale = house.call("PUT", POLICIES + "/p", other, headers={"if-match": '"1"'})
        assert stale.code == "precondition_failed"
        put = house.call("PUT", POLICIES + "/p", other, headers={"if-match": made.headers["ETag"]})
        assert (put.status, put.json["rules"][0]["action"], put.json["match"]) == (200, "warn", None)
        assert house.call("PUT", POLICIES + "/q", other).status == 201
        actions = [p["rules"][0]["action"] for p in house.call("GET", POLICIES + "/p/versions").json["items"]]
        assert actions == ["warn", "deny"]
        assert house.call("DELETE", POLICIES + "/p").json == {"name": "p"}
        assert house.call("GET", POLICIES + "/p").status == 404
        assert house.call("DELETE", POLICIES + "/p").status == 404
        assert len(house.call("GET", POLICIES + "/p/versions").json["items"]) == 2

    def test_a_name_is_taken_once(self, house: House) -> None:
        policy(house, rule(HTTPS))
        again = house.call("POST", POLICIES, {"name": "p", "rules": [rule(HTTPS)]})
        assert (again.status, again.code) == (409, "name_taken")

    def test_who_approved_an_exception_is_kept(self, house: House) -> None:
        exception = {"until_unix_ms": 1, "match": {"owner": ["bob", "eve"]}, "approved_by": "mallory"}
        assert policy(house, rule(HTTPS), exceptions=[exception]).json["exceptions"][0]["approved_by"] == "anonymous"
        house.authenticator = Everybody(who("alice", "admin"))
        body = {"rules": [rule(HTTPS)], "exceptions": [exception, {"until_unix_ms": 2, "match": {"owner": "c"}}]}
        put = house.call("PUT", POLICIES + "/p", body).json
        assert [e["approved_by"] for e in put["exceptions"]] == ["anonymous", "alice"]

    def test_a_field_that_nothing_has_is_noted(self, house: House) -> None:
        made = policy(house, rule({"field": "webhok.url", "operator": "exists"}), rule(HTTPS, "s"))
        assert made.json["notes"] == ["rule r: no schedule has a field webhok.url"]

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"name": "no such!"}, "name"),
            ({"rules": []}, "rules"),
            ({"mode": "x"}, "mode"),
            ({"surplus": 1}, "surplus"),
            ({"match": {}}, "match"),
            ({"match": {"tag": []}}, "match.tag"),
            ({"match": {"colour": "red"}}, "match.colour"),
            ({"rules": [rule(HTTPS), rule(HTTPS)]}, "rules.1.name"),
            ({"rules": [rule(HTTPS) | {"action": "refuse"}]}, "rules.0.action"),
            ({"rules": [rule({"field": "name", "operator": "matches", "value": "x"})]}, "rules.0.condition.operator"),
            ({"rules": [rule({"field": "name", "operator": "eq"})]}, "rules.0.condition.value"),
            ({"rules": [rule({"any": []})]}, "rules.0.condition.any"),
            (
                {"rules": [rule({"all": [HTTPS, {"field": "a b", "operator": "exists"}]})]},
                "rules.0.condition.all.1.field",
            ),
            ({"rules": [rule({"not": {"field": "x", "operator": "in", "value": []}})]}, "rules.0.condition.not.value"),
            (
                {"rules": [rule({"field": "name", "operator": "regex_matches", "value": "(a)\\1"})]},
                "rules.0.condition.value",
            ),
            ({"rules": [rule({"all": [HTTPS, {"field": "lease.name", "operator": "exists"}]})]}, "rules.0.condition"),
            ({"exceptions": [{"until_unix_ms": 1}]}, "exceptions.0"),
            ({"exceptions": [{"until_unix_ms": 1, "schedule_id": "x", "rule": "s"}]}, "exceptions.0.rule"),
        ],
    )
    def test_what_is_wrong_is_named(self, house: House, change: dict[str, Any], field: str) -> None:
        body = {"name": "p", "rules": [rule(HTTPS)]} | change
        answer = house.call("POST", POLICIES, body)
        assert answer.fields == [field]
        assert answer.code == "invalid_field"

    def test_other_languages_are_not_offered(self, house: House) -> None:
        answer = house.call("POST", POLICIES, {"name": "p", "rules": [rule({"cel": "true"})]})
        assert (answer.status, answer.code) == (422, "not_offered")
        assert answer.fields == ["rules.0.condition.cel"]

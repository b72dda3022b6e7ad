"""What becomes of a decision: warnings in the answer, entries in the audit, and policies in no known form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.telemetry.metric_catalogue import POLICIES_UNREADABLE
from chalicelib.ports.external_policies import ExternalVerdict
from chalicelib.ports.stores.policies import KeptPolicy
from chalicelib.workers import sweep
from tests.kit.audit_house import AuditHouse
from tests.kit.house import RATE, House

POLICIES = "/api/v1/policies"
SCHEDULES = "/api/v1/schedules"
HTTPS = {"field": "webhook.url", "operator": "starts_with", "value": "https://"}
SECRET = "hunter2-hunter2-hunter2"
WARNED = [{"policy": "p", "rule": "w", "field": "webhook.url", "value": "http://example.com/", "message": "m"}]


@pytest.fixture
def audited(tmp_path: Path) -> AuditHouse:
    return AuditHouse(tmp_path)


def rule(name: str, action: str, condition: dict[str, Any] = HTTPS) -> dict[str, Any]:
    return {"name": name, "condition": condition, "action": action, "message": "m"}


def policy(house: House, *rules: dict[str, Any], name: str = "p", **more: Any) -> None:
    answer = house.call("PUT", f"{POLICIES}/{name}", {"rules": list(rules)} | more)
    assert answer.status in (200, 201), answer.body


def hook(url: str = "http://example.com/", **more: Any) -> dict[str, Any]:
    return RATE | {"target": {"type": "webhook", "url": url}} | more


class Engine:
    """An engine beside the service; ``verdict`` is its answer to everything."""

    is_on = True

    def __init__(self, verdict: ExternalVerdict) -> None:
        self.verdict = verdict

    def decide(self, _question: Any) -> ExternalVerdict:
        return self.verdict


class TestWarnings:
    def test_create_edit_trigger_and_retry_show_them(self, house: House) -> None:
        policy(house, rule("w", "warn"), rule("a", "audit"))
        made = house.call("POST", SCHEDULES, hook())
        assert (made.status, made.json["warnings"]) == (201, WARNED)
        path = f"{SCHEDULES}/{made.json['id']}"
        assert house.call("PATCH", path, {"sla_ms": 5}).json["warnings"] == WARNED
        fired = house.call("POST", path + ":trigger")
        assert fired.json["warnings"] == WARNED
        house.end(fired.json["execution_id"], "failed")
        assert house.call("POST", f"/api/v1/executions/{fired.json['execution_id']}:retry").json["warnings"] == WARNED
        assert "warnings" not in house.call("GET", path).json
        assert "warnings" not in house.call("PATCH", path, {"target": {"type": "log"}}).json

    def test_a_job_and_a_lease_show_them(self, house: House) -> None:
        short = {"field": "lease.ttl_ms", "operator": "le", "value": 1_000}
        policy(house, rule("w", "warn"), rule("t", "warn", short))
        job = {"type": "unico", "timestamp": "2030-12-25T10:00:00Z", "webhook_url": "http://example.com/"}
        assert house.call("POST", "/jobs", job).json["warnings"] == WARNED
        lease = {"name": "l", "holder_id": "h", "ttl_ms": 5_000}
        granted = house.call("POST", "/api/v1/leases:acquire", lease).json
        assert [(w["rule"], w["value"]) for w in granted["warnings"]] == [("t", 5_000)]
        renewal = {"name": "l", "holder_id": "h", "fencing_token": granted["fencing_token"], "ttl_ms": 6_000}
        assert house.call("POST", "/api/v1/leases:renew", renewal).json["warnings"][0]["value"] == 6_000

    def test_of_many_each_has_its_own(self, house: House) -> None:
        policy(house, rule("w", "warn"))
        bad, good = hook(name="bad"), hook("https://example.com/", name="good")
        made = house.call("POST", SCHEDULES + ":import", {"schedules": [bad, good]}).json["items"]
        assert [item.get("warnings") for item in made] == [WARNED, None]
        operations = [{"op": "create", "schedule": hook()}, {"op": "create", "schedule": RATE}]
        done = house.call("POST", SCHEDULES + ":batch", {"operations": operations}).json["items"]
        assert [item["schedule"].get("warnings") for item in done] == [WARNED, None]

    def test_a_replay_says_the_same(self, house: House) -> None:
        policy(house, rule("w", "warn"))
        answers = [house.call("POST", SCHEDULES, hook(), headers={"Idempotency-Key": "k"}) for _ in range(2)]
        assert answers[1].headers["Idempotent-Replayed"] == "true"
        assert answers[0].json == answers[1].json
        assert answers[1].json["warnings"] == WARNED

    def test_what_only_audits_and_what_is_excepted_is_not_shown(self, house: House) -> None:
        end_ms = house.clock.now_ms() + 60_000
        policy(house, rule("w", "warn"), mode="audit")
        exceptions = [{"until_unix_ms": end_ms, "match": {"owner": "anonymous"}}]
        policy(house, rule("w", "warn"), name="q", exceptions=exceptions)
        assert "warnings" not in house.call("POST", SCHEDULES, hook()).json


class TestTheAudit:
    def test_a_denial_names_policy_and_rule_and_a_warning_stands_by_its_change(self, audited: AuditHouse) -> None:
        policy(audited, rule("d", "deny"), rule("w", "warn"), rule("a", "audit"))
        assert audited.call("POST", SCHEDULES, hook()).status == 403
        policy(audited, rule("w", "warn"), rule("a", "audit"))
        made = audited.call("POST", SCHEDULES, hook()).json
        path = f"{SCHEDULES}/{made['id']}"
        policy(audited, rule("d", "deny"))
        assert audited.call("PATCH", path, {"sla_ms": 5}).status == 403
        assert audited.call("POST", path + ":trigger").status == 403
        found = [
            (e["action"], e["permission"], e["resource"].replace(made["id"], "ID"), e["decision"], e["detail"])
            for e in reversed(audited.entries())
            if not e["action"].startswith("policies")
        ]
        write = "schedules:write"
        three = "deny: policy p, rule d; warn: policy p, rule w; audit: policy p, rule a"
        assert found == [
            ("schedules:create", write, "schedules", "deny", three),
            ("schedules:create", write, "schedules/ID", "allow", "warn: policy p, rule w; audit: policy p, rule a"),
            ("schedules:edit", write, "schedules/ID", "deny", "deny: policy p, rule d"),
            ("schedules:trigger", "schedules:trigger", "schedules/ID", "deny", "deny: policy p, rule d"),
        ]
        assert audited.verdict()["valid"]

    def test_the_digest_of_a_change_is_that_of_what_get_shows(self, audited: AuditHouse) -> None:
        policy(audited, rule("w", "warn"))
        made = audited.call("POST", SCHEDULES, hook()).json
        audited.call("PATCH", f"{SCHEDULES}/{made['id']}", {"target": {"type": "log"}})
        edit, create = audited.entries()[:2]
        assert edit["before_sha256"] == create["after_sha256"]

    def test_of_many_each_denial_is_an_entry_and_a_dry_run_is_none(self, audited: AuditHouse) -> None:
        policy(audited, rule("d", "deny"))
        body = {"schedules": [hook(name="bad"), hook("https://example.com/", name="good")]}
        before = len(audited.entries())
        audited.call("POST", SCHEDULES + ":import", body, query="dry_run=true")
        assert len(audited.entries()) == before
        audited.call("POST", SCHEDULES + ":import", body)
        found = [(e["action"], e["decision"], e["detail"]) for e in audited.entries()[:3]]
        assert ("schedules:create", "deny", "deny: policy p, rule d") in found
        assert ("schedules:create", "allow", "") in found

    def test_a_lease_and_an_outside_decision(self, audited: AuditHouse) -> None:
        policy(audited, rule("t", "deny", {"field": "lease.ttl_ms", "operator": "le", "value": 1_000}))
        lease = {"name": "a/b", "holder_id": "h", "ttl_ms": 5_000}
        assert audited.call("POST", "/api/v1/leases:acquire", lease).status == 403
        engine = Engine(ExternalVerdict(False, ("no", "never"), "d-1"))
        audited.services = replace(audited.services, external_policies=engine)
        assert audited.call("POST", SCHEDULES, RATE).status == 403
        engine.verdict = ExternalVerdict(True, (), "d-2")
        assert audited.call("POST", SCHEDULES, RATE).status == 201
        outside = "deny: policy opa, rule opa"
        found = [(e["action"], e["resource"][:9], e["decision"], e["detail"]) for e in audited.entries()[:3]]
        assert found == [
            ("schedules:create", "schedules", "allow", "decision d-2"),
            ("schedules:create", "schedules", "deny", f"{outside}; {outside}; decision d-1"),
            ("leases:acquire", "leases/a/", "deny", "deny: policy p, rule t"),
        ]  # fmt: skip

    def test_a_warning_of_a_call_that_is_not_recorded_is_an_entry(self, audited: AuditHouse) -> None:
        policy(audited, rule("t", "audit", {"field": "lease.ttl_ms", "operator": "le", "value": 1_000}))
        lease = {"name": "l", "holder_id": "h", "ttl_ms": 5_000}
        assert audited.call("POST", "/api/v1/leases:acquire", lease).status == 200
        entry = audited.entries()[0]
        assert (entry["action"], entry["resource"]) == ("leases:acquire", "leases/l")
        assert (entry["decision"], entry["detail"]) == ("allow", "audit: policy p, rule t")

    def test_many_findings_are_entries_and_none_is_cut(self, audited: AuditHouse) -> None:
        names = [f"{n:02d}-{'é' * 60}" for n in range(50)]
        policy(audited, *(rule(name, "deny") for name in names))
        policy(audited, rule("last", "deny"), name="q")
        assert audited.call("POST", SCHEDULES, hook()).status == 403
        told = [e["detail"] for e in audited.entries() if e["decision"] == "deny"]
        assert all(any(name in text for text in told) for name in names)
        assert any("and 1 more" in text for text in told)
        assert audited.verdict()["valid"]

    def test_no_value_and_no_payload_is_in_it(self, audited: AuditHouse) -> None:
        secretive = rule("d", "deny", {"field": "name", "operator": "ne", "value": SECRET})
        policy(audited, secretive, rule("w", "warn"))
        audited.call("POST", SCHEDULES, hook(name=SECRET, payload={"p": SECRET}))
        audited.call("POST", SCHEDULES, hook(f"http://example.com/?token={SECRET}", payload={"p": SECRET}))
        assert SECRET not in json.dumps(audited.entries())
        assert len(audited.entries()) == 3


class TestEvaluate:
    def test_the_engine_beside_the_service_is_asked_and_shown(self, house: House) -> None:
        house.services = replace(
            house.services, external_policies=Engine(ExternalVerdict(False, ("not on Fridays",), "d-1"))
        )
        policy(house, rule("d", "deny"))
        body = {"subject": hook(), "action": "schedules:create"}
        found = house.call("POST", POLICIES + ":evaluate", body).json
        assert found["decision"] == "deny"
        assert [(v["policy"], v["message"], v.get("decision_id")) for v in found["violations"]] == [
            ("p", "m", None),
            ("opa", "not on Fridays", "d-1"),
        ]
        assert found["tree"][-1]["policy"] == "opa"
        assert found["tree"][-1]["rules"][0]["outcome"] == "violated"
        firing = house.call("POST", POLICIES + ":evaluate", body | {"action": "firing"}).json
        assert [verdict["policy"] for verdict in firing["tree"]] == ["p"]

    def test_where_it_allows_the_tree_says_so(self, house: House) -> None:
        house.services = replace(house.services, external_policies=Engine(ExternalVerdict(True, (), "d-2")))
        found = house.call("POST", POLICIES + ":evaluate", {"subject": RATE}).json
        assert (found["decision"], found["violations"]) == ("allow", [])
        assert found["tree"][0]["rules"][0]["outcome"] == "holds"


LATER = {"name": "p", "match": {"tag": "production"}, "rules": [], "colour": "red"}


class TestInNoKnownForm:
    @pytest.mark.parametrize(
        ("document", "others_pass"),
        [
            (json.dumps(LATER), True),
            (json.dumps(LATER | {"match": {"tag": "production", "cel": "true"}}), True),
            (json.dumps(LATER | {"match": {"cel": "true"}}), False),
            (json.dumps(LATER | {"match": {"tag": 7}}), False),
            (json.dumps(LATER | {"match": "production", "mode": "later"}), False),
            ('{"name": "p", "ru', False),
            ("[" * 100_000, False),
            ("null", False),
        ],
    )
    def test_it_denies_what_it_matches(self, house: House, document: str, others_pass: bool) -> None:
        kept(house, document)
        denied = house.call("POST", SCHEDULES, RATE | {"tags": ["production"]})
        assert (denied.status, denied.code) == (403, "policy_denied")
        assert [(v["policy"], v["rule"]) for v in denied.json["violations"]] == [("p", "unreadable")]
        assert house.call("POST", SCHEDULES, RATE).status == (201 if others_pass else 403)

    def test_one_that_is_known_to_audit_lets_pass(self, house: House) -> None:
        kept(house, json.dumps(LATER | {"mode": "audit"}))
        assert house.call("POST", SCHEDULES, RATE | {"tags": ["production"]}).status == 201

    def test_it_is_loud_and_an_administrator_replaces_or_deletes_it(self, house: House) -> None:
        kept(house, json.dumps(LATER))
        assert house.call("GET", POLICIES).json["items"][0]["notes"][0].startswith("this release cannot read")
        assert house.call("GET", POLICIES + "/p/versions").status == 200
        assert house.call("GET", POLICIES + "/p/schedules").status == 200
        assert house.call("POST", POLICIES + "/p:dry-run").status == 200
        shown = house.call("POST", POLICIES + ":evaluate", {"subject": RATE | {"tags": ["production"]}}).json
        assert shown["tree"][0]["rules"][0]["outcome"] == "violated"
        sweep.run(house.services)
        health = house.call("GET", "/health").json
        assert (health["status"], health["checks"]["policies"]["ok"]) == ("degraded", False)
        counted = house.services.process.meter.pending()
        assert counted is not None
        assert POLICIES_UNREADABLE.name in counted.counts.counters
        one = house.call("GET", POLICIES + "/p")
        put = house.call(
            "PUT", POLICIES + "/p", {"rules": [rule("d", "deny")]}, headers={"if-match": one.headers["ETag"]}
        )
        assert (put.status, put.json["notes"]) == (200, [])
        assert house.call("GET", "/health").json["checks"]["policies"]["ok"]
        kept(house, json.dumps(LATER))
        assert house.call("DELETE", POLICIES + "/p").status == 200
        assert house.call("POST", SCHEDULES, RATE | {"tags": ["production"]}).status == 201


def kept(house: House, document: str) -> None:
    """As another release left it."""
    store = house.services.stores.policies
    known = store.load("default", "p")
    rev = 0 if known is None else known.rev
    assert store.save("default", KeptPolicy("p", document, rev + 1), rev)

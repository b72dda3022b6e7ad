"""The audit as an administrator sees it: what is recorded, by whom it is read, and what a forger cannot hide."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.api.http import auditing
from chalicelib.api.http.routes import table
from chalicelib.core.audit import checkpoint as checkpoints
from chalicelib.core.audit.redact import digest
from chalicelib.core.errors import Unavailable
from chalicelib.engine import audit_keeping
from chalicelib.usecases import keys
from tests.kit.audit_house import AuditHouse, offline
from tests.kit.audits import ATTACKS, TENANT, attacks, chain, overwrite, signing
from tests.kit.callers import Everybody, who
from tests.kit.services import with_stores

SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture
def house(tmp_path: Path) -> AuditHouse:
    return AuditHouse(tmp_path)


def canonical(entry: dict[str, Any]) -> bytes:
    """RFC 8785 for entries, which hold no fractions and whose names are ASCII."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def filled(house: AuditHouse) -> AuditHouse:
    """Twelve entries; a checkpoint covers the first eight, another one all."""
    for n in range(8):
        house.make(name=f"n{n}")
    house.checkpoint()
    for n in range(4):
        house.make(name=f"m{n}")
    house.checkpoint()
    return house


def test_a_change_is_an_entry_with_everything_that_is_promised(house: AuditHouse) -> None:
    made = house.make(name="é")
    (entry,) = house.entries()
    assert entry["sequence"] == 1
    assert entry["actor"] == "anonymous"
    assert (entry["action"], entry["permission"]) == ("schedules:create", "schedules:write")
    assert entry["resource"] == f"schedules/{made['id']}"
    assert (entry["decision"], entry["outcome"]) == ("allow", "done")
    assert entry["at_unix_ms"] == house.clock.now_ms()
    assert entry["before_sha256"] is None
    assert len(entry["after_sha256"]) == 64
    assert entry["previous_sha256"] is None
    assert entry["hlc"]
    assert "source_ip" in entry
    bare = {name: value for name, value in entry.items() if name != "sha256"}
    assert hashlib.sha256(canonical(bare)).hexdigest() == entry["sha256"]


def test_each_links_to_the_one_before_and_the_newest_comes_first(house: AuditHouse) -> None:
    schedule_id = house.make()["id"]
    house.call("PATCH", f"/api/v1/schedules/{schedule_id}", {"expr": "rate:9s"})
    house.call("POST", f"/api/v1/schedules/{schedule_id}:pause", {})
    house.call("POST", f"/api/v1/schedules/{schedule_id}:resume", {})
    house.call("POST", f"/api/v1/schedules/{schedule_id}:trigger")
    house.call("DELETE", f"/api/v1/schedules/{schedule_id}")
    found = house.entries()
    verbs = ["delete", "trigger", "resume", "pause", "edit", "create"]
    assert [e["action"] for e in found] == [f"schedules:{verb}" for verb in verbs]
    assert {e["resource"] for e in found} == {f"schedules/{schedule_id}"}
    for later, earlier in itertools.pairwise(found):
        assert later["previous_sha256"] == earlier["sha256"]
    edit, create = found[-2:]
    assert edit["before_sha256"] == create["after_sha256"]
    assert edit["after_sha256"] != edit["before_sha256"]
    assert found[0]["after_sha256"] is None


@pytest.mark.parametrize(
    ("method", "path", "body", "action", "resource"),
    [
        ("POST", "/api/v1/keys", {"name": "k", "roles": ["user"]}, "keys:create", "keys/"),
        ("PUT", "/api/v1/roles/r", {"permissions": []}, "roles:write", "roles/r"),
        ("POST", "/api/v1/leases:break", {"name": "a/b"}, "leases:break", "leases/a/b"),
        ("POST", "/api/v1/ticks/second:enable", {}, "ticks:enable", "ticks/second"),
        ("POST", "/jobs", {"type": "unico", "timestamp": "2026-11-21T10:00:00Z"}, "schedules:create", "schedules/0"),
        ("POST", "/join", {"node_id": "n", "address": "http://127.0.0.1:1"}, "cluster:join", "cluster"),
        ("GET", "/api/v1/schedules:export", None, "schedules:export", "schedules"),
        ("GET", "/api/v1/audit:export", None, "audit:export", "audit"),
    ],
)
def test_nouns_of_all_kinds(house: AuditHouse, method: str, path: str, body: Any, action: str, resource: str) -> None:
    house.call("POST", "/api/v1/leases:acquire", {"name": "a/b", "holder_id": "h", "ttl_ms": 5000})
    assert house.call(method, path, body).status < 300
    entry = house.entries()[0]
    assert (entry["action"], entry["resource"][: len(resource)]) == (action, resource)


def test_a_decision_is_about_its_run() -> None:
    asked = [o for o in table().operations if o.path.startswith("/api/v1/runs/{run_id}/nodes/{node}:")]
    assert {auditing.resource_of(o, {"run_id": "R", "node": "n"}) for o in asked} == {"runs/R"}
    assert {auditing.action_of(o) for o in asked} == {"workflows:approve", "workflows:start"}


def test_a_task_is_an_execution_by_another_name(house: AuditHouse) -> None:
    execution_id = house.fire()
    house.end(execution_id, "failed")
    assert house.call("POST", f"/api/tasks/{execution_id}/retry").status == 200
    assert house.call("DELETE", f"/api/tasks/{execution_id}").status == 200
    found = [(e["action"], e["permission"], e["resource"]) for e in house.entries()[:2]]
    resource = f"executions/{execution_id}"
    assert found == [
        ("executions:cancel", "executions:cancel", resource),
        ("executions:retry", "executions:retry", resource),
    ]


def test_what_changes_nothing_is_no_entry(house: AuditHouse) -> None:
    schedule_id = house.make()["id"]
    before = house.entries()
    house.call("GET", f"/api/v1/schedules/{schedule_id}")
    house.call("POST", "/api/v1/schedules:preview", {"type": "RATE", "expr": "rate:5s"})
    house.call("POST", "/api/v1/schedules", {"type": "nonsense"})
    house.call("DELETE", "/api/v1/schedules/01KB0E5T0QJ8Z3V7M4N2X9YRSC")
    house.call("POST", "/api/v1/schedules:import", {"schedules": []}, query="dry_run=true")
    house.call("POST", "/api/v1/policies:evaluate", {"subject": {}})
    house.call("POST", "/api/v1/policies:dry-run")
    house.call("POST", "/api/v1/leases:acquire", {"name": "n", "holder_id": "h", "ttl_ms": 5000})
    assert house.entries() == before
    assert house.services.stores.audit.intents("~", 10) == [], "no intent is left behind"


def test_a_replayed_creation_is_entered_once(house: AuditHouse) -> None:
    for _ in range(3):
        house.call("POST", "/api/v1/schedules", {"type": "RATE", "expr": "rate:5s"}, headers={"Idempotency-Key": "k"})
    assert len(house.entries()) == 1


def test_a_call_on_many_is_an_entry_and_one_for_each_that_it_changed(house: AuditHouse) -> None:
    known = house.make(tags=["t"])["id"]
    operations = [
        {"op": "create", "schedule": {"type": "RATE", "expr": "rate:5s"}},
        {"op": "patch", "id": known, "changes": {"expr": "rate:7s"}},
        {"op": "pause", "id": "01KB0E5T0QJ8Z3V7M4N2X9YRSC"},
    ]
    items = house.call("POST", "/api/v1/schedules:batch", {"operations": operations}).json["items"]
    house.call("POST", "/api/v1/schedules:pause", {"tag": "t"})
    found = [(e["action"], e["resource"]) for e in reversed(house.entries())][1:]
    assert found == [
        ("schedules:batch", "schedules"),
        ("schedules:create", f"schedules/{items[0]['id']}"),
        ("schedules:edit", f"schedules/{known}"),
        ("schedules:pause", "schedules"),
        ("schedules:pause", f"schedules/{known}"),
    ]


def test_a_denial_is_an_entry_with_the_permission_that_was_missing(house: AuditHouse) -> None:
    schedule_id = house.as_("ann", "admin").make()["id"]
    vera = house.as_("vera", "viewer")
    assert vera.call("DELETE", f"/api/v1/schedules/{schedule_id}").status == 403
    assert vera.call("GET", "/api/v1/audit").status == 403
    denied = house.as_("ann", "admin").entries(actor="vera")
    assert [(e["action"], e["permission"], e["resource"], e["decision"]) for e in denied] == [
        ("audit:read", "audit:read", "audit", "deny"),
        ("schedules:delete", "schedules:write", f"schedules/{schedule_id}", "deny"),
    ]


def test_a_denial_inside_a_use_case_is_one_too(house: AuditHouse) -> None:
    schedule_id = house.as_("ann", "user").make()["id"]
    eve = replace(who("eve", "viewer", "user"), permissions=who("o", "operator").permissions)
    house.authenticator = Everybody(eve)
    assert house.call("DELETE", f"/api/v1/schedules/{schedule_id}").status == 403
    (entry,) = house.as_("ada", "admin").entries(actor="eve")
    assert (entry["action"], entry["decision"], entry["outcome"]) == ("schedules:delete", "deny", "refused")


def test_filters_and_pages(house: AuditHouse) -> None:
    for n in range(5):
        house.as_(f"s{n % 2}", "user").make()
        house.clock.step(1000)
    house.as_("ada", "admin")
    whole = house.entries()
    assert [e["sequence"] for e in whole] == [5, 4, 3, 2, 1]
    assert [e["sequence"] for e in house.entries(actor="s1")] == [4, 2]
    assert house.entries(action="schedules:create") == house.entries(action="schedules:write") == whole
    assert house.entries(action="schedules:delete") == []
    assert house.entries(resource=whole[2]["resource"]) == [whole[2]]
    assert house.entries(from_unix_ms=whole[3]["at_unix_ms"], to_unix_ms=whole[1]["at_unix_ms"]) == whole[1:4]
    seen, query = [], "limit=2"
    while True:
        answer = house.call("GET", "/api/v1/audit", query=query).json
        seen += answer["items"]
        if answer["next_page_token"] is None:
            break
        query = f"limit=2&page_token={answer['next_page_token']}"
    assert seen == whole


def test_each_tenant_reads_its_own(house: AuditHouse) -> None:
    house.as_("ann", "admin", "a").make()
    house.as_("bob", "admin", "b").make()
    assert [e["actor"] for e in house.entries()] == ["bob"]
    assert house.entries()[0]["sequence"] == 1
    assert house.verdict()["entries"] == 1
    exported = house.call("GET", "/api/v1/audit:export").body.decode()
    assert ('"bob"' in exported, '"ann"' in exported) == (True, False)


def test_no_secret_and_no_payload_is_in_it(house: AuditHouse) -> None:
    target = {"type": "webhook", "url": f"https://127.0.0.1/x?token={SECRET}", "headers": {"X-Api": SECRET}}
    made = house.call(
        "POST", "/api/v1/schedules", {"type": "RATE", "expr": "rate:5s", "payload": {"p": SECRET}, "target": target}
    )
    assert made.status == 201, made.body
    key = house.call("POST", "/api/v1/keys", {"name": "k", "roles": ["user"]}).json["key"]
    text = json.dumps(house.entries()) + house.call("GET", "/api/v1/audit:export").body.decode()
    assert SECRET not in text
    assert key not in text
    assert key.split("_")[-1] not in text


def test_payloads_do_not_move_the_digest(house: AuditHouse) -> None:
    schedule_id = house.make(payload={"n": 1})["id"]
    before = house.entries()[0]["after_sha256"]
    shown = house.call("GET", f"/api/v1/schedules/{schedule_id}").json
    assert digest({**shown, "payload": {"n": 2}}) == before
    assert digest({**shown, "expr": "rate:6s"}) != before


def test_off_records_nothing_and_all_records_reads(house: AuditHouse) -> None:
    house.services = replace(house.services, config=replace(house.services.config, audit="off"))
    house.make()
    assert house.entries() == []
    house.services = replace(house.services, config=replace(house.services.config, audit="all"))
    house.call("GET", "/api/v1/schedules")
    house.call("POST", "/api/v1/leases:acquire", {"name": "n", "holder_id": "h", "ttl_ms": 5000})
    assert {"schedules:read", "leases:acquire"} <= {e["action"] for e in house.entries()}


class Away:
    """A store of the audit that is away from some call on."""

    def __init__(self, store: Any, calls: set[str]) -> None:
        self._store = store
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        if name in self._calls:
            raise Unavailable("away")
        return getattr(self._store, name)


def test_nothing_is_changed_that_could_not_be_recorded(house: AuditHouse) -> None:
    whole = house.services
    house.services = with_stores(whole, audit=Away(whole.stores.audit, {"note_intent"}))
    assert house.call("POST", "/api/v1/schedules", {"type": "RATE", "expr": "rate:5s"}).status == 503
    assert house.call("GET", "/api/v1/schedules").json["items"] == []


def test_a_change_whose_entry_could_not_be_written_is_entered_later(house: AuditHouse) -> None:
    whole = house.services
    house.services = with_stores(whole, audit=Away(whole.stores.audit, {"append"}))
    made = house.make()
    house.services = whole
    assert house.entries() == []
    audit_keeping.run(whole)
    assert house.entries() == [], "it may still be under way"
    house.clock.step(301_000)
    audit_keeping.run(whole)
    (entry,) = house.entries()
    assert (entry["action"], entry["outcome"], entry["detail"]) == ("schedules:create", "unknown", "recovered")
    assert made["id"]
    assert house.services.stores.audit.intents("~", 10) == []


def test_a_chain_that_nobody_touched_is_valid(house: AuditHouse) -> None:
    assert filled(house).verdict() == {"valid": True, "entries": 12, "covered_entries": 12, "checkpoints": 2}
    house.make()
    assert house.verdict()["covered_entries"] == 12


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_found_here_and_offline(house: AuditHouse, tmp_path: Path, name: str) -> None:
    forged, first_bad = attacks(chain(filled(house).services))[name]
    overwrite(house.services, forged)
    verdict = house.verdict()
    assert verdict["valid"] is False
    assert first_bad in (None, verdict["first_bad_sequence"])
    answer = house.call("GET", "/api/v1/audit:export")
    status, said = offline(house, tmp_path, answer.body)
    assert (status, said.split(" from ")[0]) == (1, "NOT VALID"), said


def test_who_makes_all_anew_and_signs_with_a_key_of_their_own_is_found(house: AuditHouse, tmp_path: Path) -> None:
    filled(house)
    forged, _ = attacks(chain(house.services))["all made anew"]
    genuine = house.services
    (tmp_path / "theirs").mkdir()
    house.services = signing(genuine, tmp_path / "theirs")
    overwrite(house.services, forged)
    house.checkpoint()
    status, said = offline(replace_signer(house, genuine), tmp_path, house.call("GET", "/api/v1/audit:export").body)
    assert (status, "not signed by the key" in said) == (1, True)
    house.services = replace(house.services, signer=genuine.signer)
    assert house.verdict()["valid"] is False


def test_a_chain_that_contradicts_a_checkpoint_is_not_signed(house: AuditHouse) -> None:
    filled(house)
    forged, _ = attacks(chain(house.services))["the end cut"]
    overwrite(house.services, forged)
    with pytest.raises(ValueError, match="ends before"):
        audit_keeping.sign_chain(house.services, TENANT)
    for n in range(20):
        house.make(name=f"later{n}")
    with pytest.raises(ValueError, match="does not follow"):
        audit_keeping.sign_chain(house.services, TENANT)


def replace_signer(house: AuditHouse, genuine: Any) -> AuditHouse:
    """``house`` for ``offline``, which trusts the genuine key."""
    other = AuditHouse.__new__(AuditHouse)
    other.services = replace(house.services, signer=genuine.signer)
    return other


def test_an_export_is_verified_offline(house: AuditHouse, tmp_path: Path) -> None:
    filled(house)
    export = house.call("GET", "/api/v1/audit:export")
    assert export.headers["Content-Type"].startswith("text/x-ndjson")
    status, said = offline(house, tmp_path, export.body)
    assert (status, said) == (0, "valid: 13 entries, 2 checkpoints, signed up to entry 12\n"), "the export is the 13th"


def test_an_export_in_parts_is_the_same(house: AuditHouse, tmp_path: Path) -> None:
    filled(house)
    text, query = b"", "limit=5"
    while True:
        answer = house.call("GET", "/api/v1/audit:export", query=query)
        text += answer.body
        token = answer.headers.get("X-Chrono-Next-Page-Token")
        if token is None:
            break
        query = f"limit=5&page_token={token}"
    status, said = offline(house, tmp_path, text)
    assert (status, said.split(":")[0]) == (0, "valid"), said


def test_what_is_too_old_goes_and_the_rest_stays_verifiable(house: AuditHouse, tmp_path: Path) -> None:
    day = 86_400_000
    filled(house)
    house.services = replace(house.services, config=replace(house.services.config, audit_retention_ms=2 * day))
    house.clock.step(3 * day)
    house.make()
    audit_keeping.run(house.services)
    assert [e["sequence"] for e in house.entries()] == [13]
    assert house.verdict()["valid"] is True
    status, said = offline(house, tmp_path, house.call("GET", "/api/v1/audit:export").body, "--from", "13")
    assert (status, said.split(":")[0]) == (0, "valid"), said
    house.services = replace(house.services, config=replace(house.services.config, audit_retention_ms=None))
    assert house.verdict()["valid"] is False, "nothing may be gone that was to stay for ever"


def test_minutes_sign_when_it_is_time(house: AuditHouse) -> None:
    house.make()
    audit_keeping.run(house.services)
    assert house.verdict()["checkpoints"] == 0
    house.clock.step(300_000)
    audit_keeping.run(house.services)
    assert house.verdict()["covered_entries"] == 1
    house.clock.step(900_000)
    audit_keeping.run(house.services)
    assert house.services.stores.audit.marks(10) == []
    house.make()
    assert [mark.tenant for mark in house.services.stores.audit.marks(10)] == [TENANT]


def test_a_checkpoint_is_what_its_document_says(house: AuditHouse) -> None:
    filled(house)
    store = house.services.checkpoints
    assert store is not None
    found = checkpoints.read(store.newest(TENANT) or "")
    assert found is not None
    assert (found.count, found.tenant) == (12, TENANT)
    assert audit_keeping.is_genuine(house.services, TENANT, found)
    assert not audit_keeping.is_genuine(house.services, "other", found)
    assert not audit_keeping.is_genuine(house.services, TENANT, replace(found, count=11))
    assert checkpoints.read("{}") is None


def test_a_key_that_was_reported_is_an_entry_of_its_own_tenant(house: AuditHouse) -> None:
    key = house.as_("ann", "admin", "a").call("POST", "/api/v1/keys", {"name": "k", "roles": ["user"]}).json
    house.as_("scanner", "viewer", "b")
    found = [{"token": key["key"], "type": "chronowatch_api_key", "url": "https://example.com/x"}]
    assert house.call("POST", "/api/v1/keys:report-leaked", found).status == 200
    entry = house.as_("ann", "admin", "a").entries()[0]
    assert (entry["action"], entry["actor"]) == ("keys:report-leaked", "chronowatch")
    assert entry["resource"] == f"keys/{key['id']}"


def test_the_first_key_of_a_deployment_is_an_entry(house: AuditHouse) -> None:
    made = keys.first_key(house.services)
    assert made is not None
    assert keys.first_key(house.services) is None
    assert [(e["action"], e["resource"]) for e in house.entries()] == [("keys:create", f"keys/{made.key.id}")]

"""What is kept about a subject: all of it is exported, and after an erasure none of it is found and the audit valid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.audit.entry import erase
from chalicelib.engine import audit_keeping
from chalicelib.usecases import subjects
from tests.kit.audit_house import AuditHouse, offline
from tests.kit.audits import TENANT, chain, overwrite
from tests.kit.house import RATE
from tests.kit.workflow_calls import LINE

MORE: dict[str, Any] = {
    "triggers": {"source": {"type": "webhook"}},
    "monitors": {"type": "RATE", "expr": "rate:1h", "grace_ms": 60_000},
    "notification-rules": {"when": ["failed"], "channels": [{"type": "pagerduty", "routing_key": "s3cret"}]},
    "workflows": LINE,
}
ANN = "ann+work@example.com"
PATH = "/api/v1/subjects/ann%2Bwork%40example.com"


@pytest.fixture
def house(tmp_path: Path) -> AuditHouse:
    return AuditHouse(tmp_path)


def lived(house: AuditHouse) -> AuditHouse:
    """Ann has one of everything; so has Bob."""
    for subject in (ANN, "bob"):
        house.as_(subject, "admin")
        execution_id = house.fire(payload={"of": subject})
        assert house.call("POST", f"/api/v1/executions/{execution_id}:cancel", {}).status == 200
        assert house.call("POST", f"/api/v1/executions/{execution_id}/logs", {"message": f"of {subject}"}).status < 500
        lease = {"name": f"lease-{len(subject)}", "holder_id": "h", "ttl_ms": 60_000}
        assert house.call("POST", "/api/v1/leases:acquire", lease).json["acquired"]
        for noun, body in MORE.items():
            assert house.call("POST", f"/api/v1/{noun}", {**body, "name": f"of-{subject[:3]}"}).status == 201, noun
        begun = house.call("POST", f"/api/v1/workflows/of-{subject[:3]}:start", {"input": {"of": subject}})
        assert begun.status == 202, begun.body
        assert house.call("POST", "/api/v1/keys", {"name": "k", "roles": ["admin"]}).status == 201
    return house.as_("dpo", "admin")


def exported(house: AuditHouse, path: str = PATH) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query = ""
    while True:
        answer = house.call("POST", f"{path}:export", query=query)
        assert answer.status == 200, answer.body
        found += [json.loads(line) for line in answer.body.decode().splitlines()]
        token = answer.headers.get("X-Chrono-Next-Page-Token")
        if token is None:
            return found
        query = f"page_token={token}"


def test_an_export_holds_one_of_everything_and_nothing_of_others(house: AuditHouse) -> None:
    lines = exported(lived(house))
    assert {line["kind"] for line in lines} >= {
        *("schedule", "execution", "key", "lease", "audit"),
        *("trigger", "monitor", "notification_rule", "workflow", "run"),
    }
    text = json.dumps(lines)
    assert "bob" not in text
    assert "s3cret" not in text
    assert [line["data"]["payload"] for line in lines if line["kind"] == "schedule"] == [f'{{"of":"{ANN}"}}']
    assert all(line["data"]["sha256"] is None for line in lines if line["kind"] == "key")
    assert exported(house, "/api/v1/subjects/nobody") == []
    assert house.services.stores.audit.pseudonym(TENANT, "nobody") is None


def test_an_export_is_an_entry_that_names_no_subject(house: AuditHouse) -> None:
    exported(lived(house))
    entry = house.entries()[0]
    assert (entry["action"], entry["permission"], entry["actor"]) == ("subjects:export", "subjects:read", "dpo")
    assert entry["resource"].startswith("subjects/subject-")


def test_after_an_erasure_the_subject_is_nowhere_and_the_audit_valid(house: AuditHouse, tmp_path: Path) -> None:
    lived(house)
    before = chain(house.services)
    done = house.call("POST", f"{PATH}:erase").json
    assert (done["completed"], done["next_page_token"]) == (True, None)
    assert (done["schedules"], done["executions"], done["keys"], done["leases"]) == (1, 1, 1, 1)
    assert (done["triggers"], done["monitors"], done["notification_rules"], done["workflows"]) == (1, 1, 1, 1)
    for noun in MORE:
        listed = house.call("GET", f"/api/v1/{noun}").json["items"]
        assert [each["owner"] for each in listed] == ["bob"], noun
    assert done["audit_entries"] == sum(entry.actor == ANN for entry in before) > 0
    shown = house.call("GET", "/api/v1/audit", query="limit=100")
    assert (shown.status, ANN in shown.body.decode()) == (200, False)
    for path in ("/schedules", "/executions", "/keys", "/leases"):
        text = house.call("GET", f"/api/v1{path}").body.decode()
        assert ANN not in text, path
        assert path == "/leases" or "bob" in text
    assert [line for line in exported(house) if line["kind"] not in ("log", "run")] == []
    assert [(e.sequence, e.sha256) for e in chain(house.services)][: len(before)] == [
        (e.sequence, e.sha256) for e in before
    ]
    erased = [entry for entry in house.entries() if entry.get("erased")]
    assert {(entry["actor"], entry["source_ip"]) for entry in erased} == {(done["pseudonym"], None)}
    assert house.verdict()["valid"] is True
    house.checkpoint()
    assert house.verdict()["valid"] is True
    status, said = offline(house, tmp_path, house.call("GET", "/api/v1/audit:export").body)
    assert (status, said.split(":")[0]) == (0, "valid"), said


def test_an_erased_entry_is_still_checked_in_all_other_parts(house: AuditHouse, tmp_path: Path) -> None:
    lived(house).call("POST", f"{PATH}:erase")
    house.checkpoint()
    whole = chain(house.services)
    place = next(n for n, entry in enumerate(whole) if entry.erased)
    for change in ({"action": "schedules:read"}, {"actor": "bob"}, {"at_unix_ms": 1}, {"after_sha256": None}):
        forged = [replace(e, **change) if n == place else e for n, e in enumerate(whole)]
        overwrite(house.services, forged)
        assert house.verdict()["first_bad_sequence"] == place + 1, change
        status, said = offline(house, tmp_path, house.call("GET", "/api/v1/audit:export").body)
        assert (status, said.split(":")[0]) == (1, f"NOT VALID from entry {place + 1}"), change
        overwrite(house.services, whole)


def test_without_the_entry_of_the_erasure_it_is_a_forgery(house: AuditHouse) -> None:
    lived(house)
    name = house.services.stores.audit.pseudonym(TENANT, ANN) or ""
    overwrite(house.services, [erase(e, name) if e.actor == ANN else e for e in chain(house.services)])
    assert house.verdict()["valid"] is False


def test_again_and_by_steps(house: AuditHouse) -> None:
    lived(house)
    first = subjects.erase_subject(house.services, _dpo(house), ANN)
    again = subjects.erase_subject(house.services, _dpo(house), ANN)
    assert (again.schedules, again.executions, again.keys, again.leases, again.audit_entries) == (0, 0, 0, 0, 0)
    assert first.pseudonym != again.pseudonym, "nothing linked them any more"
    assert house.verdict()["valid"] is True


def _dpo(house: AuditHouse) -> Any:
    return house.authenticator.caller  # type: ignore[attr-defined]


def test_an_entry_bound_to_an_earlier_pseudonym_is_erased_too(house: AuditHouse) -> None:
    lived(house)
    first = subjects.erase_subject(house.services, _dpo(house), ANN)
    house.services.process.audit.keep_pseudonym(TENANT, ANN, first.pseudonym, house.clock.now_ms())  # had not heard
    house.as_(ANN, "user").make()
    house.services.process.audit.forget_pseudonym(TENANT, ANN)
    house.as_("dpo", "admin")
    second = subjects.erase_subject(house.services, _dpo(house), ANN)
    assert second.audit_entries == 1
    assert house.verdict()["valid"] is True


def test_a_broken_audit_is_not_covered_up(house: AuditHouse) -> None:
    lived(house)
    audit_keeping.sign_chain(house.services, TENANT)
    overwrite(house.services, chain(house.services)[:2])
    assert house.call("POST", f"{PATH}:erase").code == "audit_broken"


def test_only_an_administrator_and_nobody_themselves(house: AuditHouse) -> None:
    lived(house)
    for role in ("operator", "user", "viewer"):
        house.as_("eve", role)
        assert house.call("POST", f"{PATH}:export").status == 403
        assert house.call("POST", f"{PATH}:erase").status == 403
    house.as_("dpo", "admin")
    denied = house.entries(actor="eve")
    assert {entry["resource"] for entry in denied} == {"subjects"}, "a denial names no subject that may be erased"
    assert house.as_(ANN, "admin").call("POST", f"{PATH}:erase").status == 409
    assert house.make(**RATE)["owner"] == ANN


def test_another_tenants_subject_of_the_same_name_stays(house: AuditHouse) -> None:
    lived(house)
    house.as_(ANN, "user", "other").make()
    kinds = {line["kind"] for line in exported(house.as_("dpo", "admin", "other"))}
    assert kinds == {"schedule", "audit"}, "of this tenant alone"
    house.as_("dpo", "admin").call("POST", f"{PATH}:erase")
    assert house.as_(ANN, "admin", "other").call("GET", "/api/v1/schedules").json["items"][0]["owner"] == ANN
    assert [entry["actor"] for entry in house.entries()] == ["dpo", ANN]

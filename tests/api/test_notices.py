"""Notification rules over HTTP."""

from __future__ import annotations

from tests.kit.callers import by, who
from tests.kit.house import House

RULES = "/api/v1/notification-rules"
RULE = {"name": "on call", "when": ["failed"], "channels": [{"type": "webhook", "url": "https://example.com/alerts"}]}


def test_a_rule_is_made_changed_tried_and_deleted(house: House) -> None:
    made = house.call("POST", RULES, RULE)
    assert made.status == 201
    one = f"{RULES}/{made.json['id']}"
    quiet = {"cron": "0 22 * * *", "for_ms": 3_600_000, "timezone": "Europe/Berlin"}
    changed = house.call("PATCH", one, {"quiet": quiet, "group_ms": 5}, headers={"if-match": made.headers["ETag"]})
    assert (changed.json["quiet"], changed.json["group_ms"]) == (quiet, 5)
    assert house.call("PATCH", one, {"quiet": None}).json["quiet"] is None
    assert house.call("PATCH", one, {"name": "x"}, headers={"if-match": made.headers["ETag"]}).status == 412
    tried = house.call("POST", one + ":test")
    assert (tried.status, len(tried.json["notification_ids"])) == (202, 1)
    assert [rule["id"] for rule in house.call("GET", RULES).json["items"]] == [made.json["id"]]
    assert house.call("GET", "/api/v1/notifications").json["items"] == []
    assert house.call("DELETE", one).json == {"id": made.json["id"]}
    assert house.call("GET", one).status == 404


def test_email_is_refused_by_name_and_a_routing_key_is_not_shown(house: House) -> None:
    email = RULE | {"channels": [{"type": "email", "to": ["ops@example.com"]}]}
    refused = house.call("POST", RULES, email)
    assert (refused.code, refused.fields) == ("not_supported", ["channels.0.type"])
    made = house.call("POST", RULES, RULE | {"channels": [{"type": "pagerduty", "routing_key": "R0UT1NGKEY"}]}).json
    assert "R0UT1NGKEY" not in str(made)


def test_another_owners_rule_is_missing(house: House) -> None:
    made = by(house, who("alice", "user"), "POST", RULES, RULE).json
    one = f"{RULES}/{made['id']}"
    for caller in (who("bob", "user"), who("root", "admin", tenant="elsewhere")):
        for method, path in (("GET", one), ("PATCH", one), ("DELETE", one), ("POST", one + ":test")):
            assert by(house, caller, method, path, {} if method == "PATCH" else None).status == 404
        assert by(house, caller, "GET", RULES).json["items"] == []
    assert by(house, who("vera", "viewer"), "DELETE", one).status == 403

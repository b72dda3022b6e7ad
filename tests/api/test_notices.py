"""Notification rules over HTTP."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.core.targets import registry
from chalicelib.engine import notices
from tests.kit.callers import by, who
from tests.kit.house import House

RULES = "/api/v1/notification-rules"
CHANNEL = {"type": "webhook", "url": "https://example.com/alerts"}
RULE = {"name": "on call", "when": ["failed"], "channels": [CHANNEL]}


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


@pytest.mark.parametrize("to", ["ops@example.com", ["ops@example.com", "dev@example.com"]])
def test_an_e_mail_channel_comes_back_as_it_was_written(house: House, to: object) -> None:
    channel = {"type": "email", "to": to, "from": "alerts@example.com"}
    made = house.call("POST", RULES, RULE | {"channels": [channel]})
    assert (made.status, made.json["channels"]) == (201, [channel])
    assert house.call("PATCH", f"{RULES}/{made.json['id']}", {"channels": made.json["channels"]}).status == 200


@pytest.mark.parametrize(
    "channel",
    [
        {"type": "email", "to": "ops@example.com", "from": "alerts@example.com"},
        {"type": "sns", "topic_arn": "arn:aws:sns:us-east-1:000000000000:alerts"},
    ],
)
def test_channels_of_the_cloud_are_refused_by_name_without_it(house: House, channel: dict[str, object]) -> None:
    made = house.call("POST", RULES, RULE).json
    house.services = replace(house.services, config=replace(house.services.config, unoffered=registry.OF_AWS))
    channels = {"channels": [CHANNEL, channel]}
    for refused in (
        house.call("POST", RULES, RULE | channels),
        house.call("PATCH", f"{RULES}/{made['id']}", channels),
    ):
        assert (refused.status, refused.code, refused.fields) == (422, "not_configured", ["channels.1.type"])


def test_a_routing_key_is_not_shown(house: House) -> None:
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


def test_who_may_see_less_than_before_hears_less_once_they_change_their_rule(house: House) -> None:
    made = by(house, who("opal", "operator"), "POST", RULES, RULE).json["id"]
    for caller, hears in ((who("ada", "admin"), True), (who("opal", "user"), False), (who("ada", "admin"), False)):
        assert by(house, caller, "PATCH", f"{RULES}/{made}", {"name": "n"}).status == 200
        assert notices.load_rule(house.services, "default", made).every_owner is hears

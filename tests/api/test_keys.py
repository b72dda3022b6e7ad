"""API keys over HTTP, with authentication on: made, shown once, used, listed, rotated, ended, reported."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.adapters.identity import chain
from chalicelib.adapters.identity.api_keys import make
from chalicelib.adapters.identity.bootstrap_key import BootstrapKey
from chalicelib.adapters.identity.identity_parts import IdentityParts
from chalicelib.api.http import connection
from chalicelib.core.keys.limits import KEY_FRESH_MS
from chalicelib.process.limits import LEAK_REPORTS_PER_MINUTE
from chalicelib.usecases import keys
from tests.kit.api_keys import text_of
from tests.kit.house import Answer, House

KEYS = "/api/v1/keys"
BOOTSTRAP = "a-bootstrap-key-of-more-than-32-characters"


class Guarded(House):
    """A deployment that takes API keys, and its first one."""

    def __init__(self) -> None:
        super().__init__()
        parts = IdentityParts(
            stores=self.services.stores,
            key_notes=self.services.process.keys,
            now_ms=self.services.clock.now_ms,
            monotonic_s=lambda: self.services.clock.now_ms() / 1000,
            jwt=None,
            custom_roles=lambda _tenant: {},
        )
        self.authenticator = chain.choose("apikey", {"apikey": lambda: make(parts)}, BootstrapKey(BOOTSTRAP))
        first = keys.first_key(self.services)
        assert first is not None
        self.first = str(first.text)
        self.first_id = first.key.id

    def by(self, key: str | None, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """A call with a key."""
        headers = {**more.pop("headers", {}), **({} if key is None else {"Authorization": f"Bearer {key}"})}
        return self.call(method, path, body, headers=headers, **more)

    def new(self, **wanted: Any) -> dict[str, Any]:
        """A new key, made with the first."""
        answer = self.by(self.first, "POST", KEYS, {"name": "ci"} | wanted)
        assert answer.status == 201, answer.body
        found: dict[str, Any] = answer.json
        return found


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    with connection.serving(connection.CallerConnection()):
        yield Guarded()


def test_a_key_is_shown_once_and_lets_its_owner_in(guarded: Guarded) -> None:
    made = guarded.new(owner="ann")
    assert made["key"].startswith(made["prefix"])
    assert made["prefix"] == f"cw_{made['id']}"
    assert made == {
        "id": made["id"],
        "key": made["key"],
        "prefix": made["prefix"],
        "name": "ci",
        "owner": "ann",
        "roles": ["user"],
        "permissions": [],
        "active": True,
        "expires_at_unix_ms": None,
        "cidrs": None,
        "created_at_unix_ms": guarded.clock.now_ms(),
        "created_by": "admin",
        "last_used_unix_ms": None,
        "replaces": None,
        "version": "1",
    }
    schedule = guarded.by(made["key"], "POST", "/api/v1/schedules", {"type": "RATE", "expr": "rate:5s"})
    assert (schedule.status, schedule.json["owner"]) == (201, "ann")
    one = guarded.by(guarded.first, "GET", f"{KEYS}/{made['id']}")
    assert one.headers["ETag"] == '"1"'
    assert "key" not in one.json
    assert one.json["last_used_unix_ms"] == guarded.clock.now_ms()
    listed = guarded.by(guarded.first, "GET", KEYS)
    assert [item["id"] for item in listed.json["items"]] == [made["id"], guarded.first_id]
    assert made["key"].encode() not in one.body + listed.body


def test_the_answer_says_where_the_key_is_and_is_not_to_be_stored(guarded: Guarded) -> None:
    answer = guarded.by(guarded.first, "POST", KEYS, {"name": "ci"})
    assert answer.headers["Location"] == f"{KEYS}/{answer.json['id']}"
    assert (answer.headers["ETag"], answer.headers["Cache-Control"]) == ('"1"', "no-store")


@pytest.mark.parametrize("verb", ["", ":rotate"])
def test_a_replayed_creation_comes_without_the_key(guarded: Guarded, verb: str) -> None:
    path = KEYS if not verb else f"{KEYS}/{guarded.new()['id']}:rotate"
    body = {"name": "ci"} if not verb else {"overlap_ms": 60_000}
    first = guarded.by(guarded.first, "POST", path, body, headers={"Idempotency-Key": "once"})
    again = guarded.by(guarded.first, "POST", path, body, headers={"Idempotency-Key": "once"})
    assert first.status == again.status == 201
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    text = first.json["key"]
    assert again.json == {name: value for name, value in first.json.items() if name != "key"}
    assert guarded.by(text, "GET", "/api/v1/schedules").status == 200
    kept = repr(vars(guarded.services.stores.idempotency)) + repr(vars(guarded.services.stores.keys))
    assert first.json["id"] in kept
    assert text.rpartition("_")[2] not in kept


@pytest.mark.parametrize("key", [None, "", "cw_", "x" * 20, text_of("unknown0"), text_of("unknown0")[:-1] + "x"])
def test_without_a_key_that_is_good_nothing_is_answered(guarded: Guarded, key: str | None) -> None:
    for method, path in (("GET", KEYS), ("GET", "/api/v1/schedules"), ("POST", KEYS), ("GET", "/nowhere")):
        answer = guarded.by(key, method, path)
        assert (answer.status, answer.code) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_keys_are_for_admins(guarded: Guarded) -> None:
    made = guarded.new(roles=["operator"])
    one = f"{KEYS}/{made['id']}"
    for method, path in (("GET", KEYS), ("POST", KEYS), ("GET", one), ("DELETE", one), ("POST", one + ":rotate")):
        assert guarded.by(made["key"], method, path, {} if method == "POST" else None).code == "forbidden"


def test_a_deleted_key_is_refused_at_once_by_the_server_that_deleted_it(guarded: Guarded) -> None:
    made = guarded.new()
    assert guarded.by(made["key"], "GET", "/api/v1/schedules").status == 200
    answer = guarded.by(guarded.first, "DELETE", f"{KEYS}/{made['id']}")
    assert (answer.status, answer.json) == (200, {"id": made["id"]})
    assert guarded.by(made["key"], "GET", "/api/v1/schedules").status == 401
    assert guarded.by(guarded.first, "GET", f"{KEYS}/{made['id']}").code == "not_found"
    assert guarded.by(guarded.first, "DELETE", f"{KEYS}/{made['id']}").code == "not_found"


def test_the_last_admin_key_cannot_delete_itself_and_the_bootstrap_key_can_delete_it(guarded: Guarded) -> None:
    path = f"{KEYS}/{guarded.first_id}"
    refused = guarded.by(guarded.first, "DELETE", path)
    assert (refused.status, refused.code) == (409, "last_admin_key")
    assert guarded.by(BOOTSTRAP, "DELETE", path).status == 200
    assert guarded.by(BOOTSTRAP, "GET", KEYS).json["items"] == []


def test_a_rotated_key_ends_when_the_overlap_does(guarded: Guarded) -> None:
    old = guarded.new(roles=["viewer"], cidrs=["0.0.0.0/0"])
    path = f"{KEYS}/{old['id']}:rotate"
    with connection.serving(connection.CallerConnection(address="203.0.113.7")):
        _rotate_with_overlap(guarded, old, path)


def _rotate_with_overlap(guarded: Guarded, old: dict[str, Any], path: str) -> None:
    new = guarded.by(guarded.first, "POST", path, {"overlap_ms": 5000}, headers={"If-Match": '"1"'}).json
    assert (new["replaces"], new["roles"], new["cidrs"]) == (old["id"], ["viewer"], ["0.0.0.0/0"])
    stale = guarded.by(guarded.first, "POST", path, {}, headers={"If-Match": '"1"'})
    assert stale.code == "precondition_failed"
    for text, status in ((old["key"], 200), (new["key"], 200)):
        assert guarded.by(text, "GET", "/api/v1/schedules").status == status
    guarded.clock.advance(5000)
    for text, status in ((old["key"], 401), (new["key"], 200)):
        assert guarded.by(text, "GET", "/api/v1/schedules").status == status
    shown = guarded.by(guarded.first, "GET", f"{KEYS}/{old['id']}").json
    assert (shown["active"], shown["version"]) == (False, "2")
    newest = guarded.by(guarded.first, "POST", f"{KEYS}/{new['id']}:rotate", {}).json
    assert guarded.by(new["key"], "GET", "/api/v1/schedules").status == 401
    assert guarded.by(newest["key"], "GET", "/api/v1/schedules").status == 200
    assert guarded.by(guarded.first, "POST", f"{KEYS}/{new['id']}:rotate", {}).code == "key_ended"


def test_a_key_ends_at_its_instant(guarded: Guarded) -> None:
    made = guarded.new(expires_at_unix_ms=guarded.clock.now_ms() + 1000)
    guarded.clock.advance(999)
    assert guarded.by(made["key"], "GET", "/api/v1/schedules").status == 200
    guarded.clock.advance(1)
    assert guarded.by(made["key"], "GET", "/api/v1/schedules").status == 401


def test_a_key_is_for_its_networks(guarded: Guarded) -> None:
    made = guarded.new(cidrs=["203.0.113.0/24", "2001:db8::/32"])
    assert made["cidrs"] == ["203.0.113.0/24", "2001:db8::/32"]
    for source, status in (("203.0.113.7", 200), ("2001:db8::7", 200), ("203.0.114.7", 401), (None, 401)):
        with connection.serving(connection.CallerConnection(address=source or "")):
            answer = guarded.by(made["key"], "GET", "/api/v1/schedules", headers={"X-Forwarded-For": "203.0.113.7"})
        assert answer.status == status, source


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["name"]),
        ({"name": "x", "scopes": []}, ["scopes"]),
        ({"name": "x", "roles": ["god"]}, ["roles.0"]),
        ({"name": "x", "permissions": ["schedules:read", "magic:do"]}, ["permissions.1"]),
        ({"name": "x", "roles": ["user"], "permissions": ["schedules:read"]}, ["permissions"]),
        ({"name": "x", "cidrs": ["10.0.0.1/8"]}, ["cidrs.0"]),
        ({"name": "x", "expires_at_unix_ms": 1}, ["expires_at_unix_ms"]),
    ],
)
def test_what_is_wrong_is_named(guarded: Guarded, body: dict[str, Any], fields: list[str]) -> None:
    assert guarded.by(guarded.first, "POST", KEYS, body).fields == fields


def test_a_key_with_permissions_does_these_and_nothing_else(guarded: Guarded) -> None:
    made = guarded.new(permissions=["schedules:read"], owner="ann")
    assert guarded.by(made["key"], "GET", "/api/v1/schedules").status == 200
    assert guarded.by(made["key"], "POST", "/api/v1/schedules", {"type": "RATE", "expr": "rate:5s"}).status == 403
    beyond = guarded.by(guarded.new(permissions=["keys:write"])["key"], "POST", KEYS, {"name": "x", "roles": ["admin"]})
    assert beyond.code == "forbidden"


def test_an_open_stream_and_a_held_call_end_with_their_key(guarded: Guarded) -> None:
    made = guarded.new()
    assert guarded.by(made["key"], "GET", "/api/v1/schedules").status == 200
    gone = connection.caller_is_gone()
    assert not gone()
    other = guarded.services.process.keys.find(made["id"])
    guarded.by(guarded.first, "DELETE", f"{KEYS}/{made['id']}")
    assert other is not None
    guarded.services.process.keys.keep(made["id"], other)  # as on a server that did not delete it
    assert not gone()
    guarded.clock.advance(KEY_FRESH_MS)
    assert gone()


# -- reports of leaks


def report(guarded: Guarded, found: Any, **more: Any) -> Answer:
    return guarded.by(None, "POST", KEYS + ":report-leaked", found, **more)


def test_a_scanner_needs_no_credentials_but_the_key(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = guarded.new()
    find = {"token": made["key"], "type": "chronowatch_api_key", "url": "https://example.com/x", "source": "content"}
    answer = report(guarded, [find, {"token": text_of(made["id"])}])
    digest = base64.b64encode(hashlib.sha256(made["key"].encode()).digest()).decode()
    assert answer.status == 200
    assert answer.json[0] == {"token_hash": digest, "token_type": "chronowatch_api_key", "label": "true_positive"}
    assert answer.json[1]["label"] == "false_positive"
    assert guarded.by(made["key"], "GET", "/api/v1/schedules").status == 401
    assert report(guarded, [find]).json[0]["label"] == "false_positive"
    assert report(guarded, [find], headers={"Authorization": "Bearer rubbish"}).status == 200
    assert made["id"] in caplog.text
    assert made["key"].rpartition("_")[2] not in caplog.text


@pytest.mark.parametrize(
    ("raw", "status", "field"),
    [
        (b"[]", 422, "body"),
        (b"{}", 422, "body"),
        (b'{"token": "x"}', 422, "body"),
        (b'[{"token": 1}]', 422, "0.token"),
        (b'[{"type": "x"}]', 422, "0.token"),
        (b"[", 400, None),
        (b'[], "tokens": []', 400, None),
        (b"", 400, None),
    ],
)
def test_a_report_has_the_shape_of_reports(guarded: Guarded, raw: bytes, status: int, field: str | None) -> None:
    answer = report(guarded, None, raw=raw)
    assert answer.status == status, answer.body
    if field is not None:
        assert answer.fields == [field]


def test_reports_are_bounded(guarded: Guarded) -> None:
    assert report(guarded, [{"token": text_of("unknown0")}] * LEAK_REPORTS_PER_MINUTE).status == 200
    answer = report(guarded, [{"token": text_of("unknown0")}])
    assert (answer.status, answer.code) == (429, "too_many_requests")
    assert 1 <= int(answer.headers["Retry-After"]) <= 61


def test_the_console_is_open_and_what_it_shows_is_not(guarded: Guarded) -> None:
    page = guarded.by(None, "GET", "/console")
    assert page.status == 200
    [module] = re.findall(r'<script type="module" src="([^"]+)"', page.body.decode())
    assert guarded.by(None, "GET", module).status == 200
    assert guarded.by(None, "GET", "/api/tasks").status == 401


def test_nothing_but_that_is_open_to_all(guarded: Guarded) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert guarded.by(None, method, KEYS + ":report-leaked").status == 401
    assert guarded.by(None, "POST", KEYS + ":report").status == 401
    guarded.authenticator = chain.choose("deny", {})
    assert report(guarded, [{"token": text_of("unknown0")}]).status == 401


def test_no_log_line_of_any_call_holds_a_key(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = guarded.new()
    secrets = [guarded.first, made["key"], BOOTSTRAP, text_of("unknown0"), made["key"][:-1] + "x"]
    for secret in secrets:
        for method, path in (("GET", KEYS), ("POST", KEYS), ("GET", f"/{secret}"), ("GET", f"{KEYS}/{secret}")):
            guarded.by(secret, method, path, {"name": secret} if method == "POST" else None)
    guarded.services.stores.keys.ring = None  # type: ignore[method-assign, assignment]
    assert guarded.by(guarded.first, "GET", KEYS).status == 500
    assert "unexpected" in caplog.text
    for secret in secrets:
        assert secret.rpartition("_")[2] not in caplog.text

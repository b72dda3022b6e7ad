"""A day with keys, tokens and secrets of every kind: none is in what was answered, logged, printed or stored."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.scripted import Script, Scripted
from tests.kit import issuer as issuers
from tests.kit.forgeries import forgeries
from tests.kit.issuer import AUDIENCE, Issuer

BOOTSTRAP = "planted-bootstrap-key-of-more-than-32-characters"
SIGNING = base64.b64encode(b"planted-signing-key-of-the-hook").decode()
BEARER = "planted-bearer-of-a-header"
NO_KEY = "planted-text-that-is-no-signing-key"
PAYLOAD = "planted-payload-marker"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuers.running() as found:
        yield found


class Asking:
    """Calls, and the answers to all of them: heads and bodies."""

    def __init__(self, server: DevServer) -> None:
        self._server = server
        self.answered: list[bytes] = []

    def __call__(self, method: str, path: str, token: str, body: object = None) -> tuple[int, Any]:
        with closing(http.client.HTTPConnection("127.0.0.1", self._server.http_port, timeout=40)) as connection:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
            self.answered.append(repr(answer.getheaders()).encode() + content)
            is_json = "json" in answer.headers["Content-Type"]
            return answer.status, json.loads(content) if is_json else content


def made_key(ask: Asking, token: str, path: str, body: object) -> str:
    """The text of a new key. That one answer holds it: it is not among those that are searched."""
    status, made = ask("POST", path, token, body)
    assert status == 201, made
    key = str(made["key"])
    shown = ask.answered.pop()
    assert shown.count(key.encode()) == 1
    return key


def forms(secret: str) -> list[bytes]:
    """A secret as it could be written down."""
    return [secret.encode(), base64.b64encode(secret.encode()), secret.encode().hex().encode()]


def end_of(secret: str) -> str:
    """The part of a key or token that only its holder knows."""
    return secret.rpartition("_" if secret.startswith("cw_") else ".")[2]


def test_no_secret_is_kept(
    new_server: Callable[..., DevServer], scripted: Callable[[Script], Scripted], issuer: Issuer
) -> None:
    env = {
        "LOG_LEVEL": "DEBUG",
        "CHRONO_AUTH": "jwt,apikey",
        "CHRONO_JWT_ISSUER": issuer.url,
        "CHRONO_JWT_AUDIENCE": AUDIENCE,
        "CHRONO_BOOTSTRAP_KEY": BOOTSTRAP,
        "HOOK_KEY": f"whsec_{SIGNING}",
        "HOOK_BEARER": BEARER,
        "HOOK_NO_KEY": NO_KEY,
    }
    server = new_server(env=env)
    server.greeted()
    ask = Asking(server)

    # Keys and tokens: good ones, and those that are refused.
    now_ms = time.time_ns() // 1_000_000
    ada = issuer.token(now_ms, sub="ada", roles=["admin"])
    made_up = forgeries(issuer, now_ms)
    first = made_key(ask, BOOTSTRAP, "/api/v1/keys", {"name": "one", "roles": ["admin"]})
    key_id = first.split("_")[1]
    second = made_key(ask, ada, f"/api/v1/keys/{key_id}:rotate", {"overlap_ms": 60_000})
    wrong = first[:-1] + ("a" if first[-1] != "a" else "b")
    assert [ask("GET", "/api/v1/schedules", token)[0] for token in (first, second, wrong)] == [200, 200, 401]
    assert {ask("GET", "/api/v1/schedules", token)[0] for token in made_up.values()} == {401}
    assert ask("POST", "/api/v1/keys:report-leaked", "", [{"token": first}])[1][0]["label"] == "true_positive"
    assert ask("GET", "/api/v1/keys", second)[0] == 200
    assert ask("GET", f"/api/v1/keys/{second.split('_')[1]}", ada)[0] == 200

    # Deliveries that need secrets: one that arrives, one that fails for good, one whose secret is no key.
    good, bad = scripted(lambda _: (204, 0.0, {})), scripted(lambda _: (500, 0.0, {}))
    ids = {
        name: fire(ask, second, url, secret)
        for name, url, secret in (
            ("arrives", good.url, "env:HOOK_KEY"),
            ("fails", bad.url, "env:HOOK_KEY"),
            ("no key", good.url, "env:HOOK_NO_KEY"),
        )
    }
    ends = {"arrives": "completed", "fails": "failed", "no key": "failed"}
    wait_for("the ends", lambda: {n: end(ask, second, i) for n, i in ids.items()} == ends, 60)
    assert good.calls
    assert bad.calls
    for path in ("/api/v1/schedules", "/api/v1/schedules:export", "/api/v1/executions", "/debug/cluster", "/health"):
        assert ask("GET", path, second)[0] == 200

    server.stop()
    stored = {str(p): p.read_bytes() for p in server.data_dir.rglob("*") if p.is_file()}
    stored |= {"printed": server.output().encode()}
    stored |= {f"answer {n}": answer for n, answer in enumerate(ask.answered)}
    logs = [content for name, content in stored.items() if name.endswith(".log")]
    assert len(logs) >= 3
    kept = b"".join(stored.values())
    assert second.split("_")[1].encode() in kept, "the tables are among what is searched"
    assert PAYLOAD.encode() in kept
    assert not [log for log in logs if PAYLOAD.encode() in log], "a payload is for the tables, not for a log"

    tokens = [end_of(token) for token in (ada, first, second, *made_up.values()) if len(end_of(token)) > 20]
    assert len(tokens) > 15
    for secret in (BOOTSTRAP, SIGNING, base64.b64decode(SIGNING).decode(), BEARER, NO_KEY, *tokens):
        found = [name for name, content in stored.items() if any(form in content for form in forms(secret))]
        assert not found, f"{secret} is in {found}"


def fire(ask: Asking, token: str, url: str, secret: str) -> str:
    """The execution of a schedule whose webhook is signed and authorised by secrets."""
    headers = {"Authorization": {"secret_ref": "env:HOOK_BEARER"}}
    target = {"type": "webhook", "url": url, "secret_ref": secret, "headers": headers}
    wanted = {"type": "CRON", "expr": "@yearly", "payload": {"marker": PAYLOAD}, "target": target}
    status, made = ask("POST", "/api/v1/schedules", token, {**wanted, "retry_policy": {"max_attempts": 1}})
    assert status == 201, made
    status, fired = ask("POST", f"/api/v1/schedules/{made['id']}:trigger", token, {})
    assert status == 202, fired
    return str(fired["execution_id"])


def end(ask: Asking, token: str, execution_id: str) -> str:
    status, found = ask("GET", f"/api/v1/executions/{execution_id}", token)
    assert status == 200, found
    return str(found["delivery_state"])

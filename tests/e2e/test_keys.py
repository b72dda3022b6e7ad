"""API keys of the real dev server: the first is printed once, used, and ended; and its end holds on another server."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from chalicelib.core.keys.limits import KEY_ENDS_WITHIN_MS
from chalicelib.core.leases.limits import LEASE_WAIT_MAX_MS
from tests.e2e.dev_server import DevServer

KEY = re.compile(r"cw_[0-9A-Za-z]{8}_[0-9A-Za-z]{36}")
BOOTSTRAP = "a-bootstrap-key-of-more-than-32-characters"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def status(server: DevServer, key: str) -> int:
    return server.call("GET", "/api/v1/schedules", headers=bearer(key))[0]


def made(server: DevServer, key: str, **wanted: Any) -> dict[str, Any]:
    code, answer = server.call("POST", "/api/v1/keys", {"name": "ci"} | wanted, bearer(key))
    assert code == 201, answer
    assert isinstance(answer, dict)
    return answer


@contextmanager
def ticks(server: DevServer, key: str) -> Iterator[http.client.HTTPResponse]:
    """An open stream."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=KEY_ENDS_WITHIN_MS / 1000)
    with closing(connection):
        connection.request("GET", "/api/v1/ticks/second", headers={"Accept": "text/event-stream", **bearer(key)})
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.readline() == b"retry: 1000\n"
        yield answer


def hold(server: DevServer, key: str) -> tuple[Any, float]:
    """Wait for a lease that another holds, for as long as it may be waited for; the answer, and when it came."""
    asked = {"name": "held", "holder_id": "waiting", "ttl_ms": 60_000, "wait_ms": LEASE_WAIT_MAX_MS}
    status, answer = server.call("POST", "/api/v1/leases:acquire", asked, bearer(key))
    assert status == 200, answer
    return answer["acquired"], time.monotonic()


def test_the_first_key_is_printed_once_and_the_end_of_a_key_holds_on_every_server(
    aws: str, new_server: Callable[..., DevServer], tmp_path: Path
) -> None:
    env = {"CHRONO_AUTH": "apikey", "AWS_ENDPOINT_URL": aws}
    one, other = new_server(env=env), new_server(env=env)
    [first] = KEY.findall(one.greeted())
    assert KEY.findall(other.greeted()) == [], "it is printed once"
    assert one.call("GET", "/health")[0] == 401
    assert one.call("GET", "/health", headers=bearer(first))[0] == 200

    working = made(one, first, roles=["operator"])
    assert (status(one, working["key"]), status(other, working["key"])) == (200, 200)
    taken = {"name": "held", "holder_id": "first", "ttl_ms": 60_000}
    assert other.call("POST", "/api/v1/leases:acquire", taken, bearer(first))[1]["acquired"]
    with ThreadPoolExecutor(1) as pool, ticks(one, working["key"]) as stream:
        held = pool.submit(hold, one, working["key"])
        assert stream.readline(), "the call has begun by now, or does so with a key that was read lately"
        assert other.call("DELETE", f"/api/v1/keys/{working['id']}", headers=bearer(first))[0] == 200
        ended = time.monotonic()
        assert status(other, working["key"]) == 401
        while stream.readline():  # a time-out here: it did not end in time
            assert time.monotonic() - ended < KEY_ENDS_WITHIN_MS / 1000
        acquired, at = held.result()
    assert not acquired
    assert at - ended < LEASE_WAIT_MAX_MS / 1000 - 2, "the held call ended with its key, not with its time"
    assert status(one, working["key"]) == 401
    assert time.monotonic() - ended < KEY_ENDS_WITHIN_MS / 1000

    code, leaked = one.call("POST", "/api/v1/keys:report-leaked", [{"token": first}])
    assert (code, leaked[0]["label"]) == (200, "true_positive")
    assert status(one, first) == 401

    for server in (one, other):
        server.stop()
    secrets = [key.rpartition("_")[2].encode() for key in (first, working["key"])]
    kept = [p for s in (one, other) for p in s.data_dir.rglob("*") if p.is_file()]
    assert any(p.suffix == ".log" for p in kept)
    assert not [p for p in kept if any(secret in p.read_bytes() for secret in secrets)]


@pytest.mark.parametrize(
    "env",
    [
        {"CHRONO_AUTH": "deny"},
        {
            "CHRONO_AUTH": "jwt",
            "CHRONO_JWT_ISSUER": "http://127.0.0.1:9/",
            "CHRONO_JWT_AUDIENCE": "chronowatch",
        },
    ],
    ids=["deny", "jwt, its issuer away"],
)
def test_it_becomes_ready_where_its_supervisor_has_no_credentials(
    aws: str, new_server: Callable[..., DevServer], env: dict[str, str]
) -> None:
    server = new_server(env={**env, "AWS_ENDPOINT_URL": aws})
    assert "cw_" not in server.greeted()
    assert server.call("GET", "/health")[0] == 401
    assert server.stop() < 10


def test_the_bootstrap_key_is_an_admin_and_state_of_the_disk_holds_no_key(
    new_server: Callable[..., DevServer],
) -> None:
    server = new_server(env={"CHRONO_AUTH": "apikey", "CHRONO_BOOTSTRAP_KEY": BOOTSTRAP})
    assert KEY.findall(server.greeted()) == [], "there is an admin key already"
    admin = made(server, BOOTSTRAP, roles=["admin"])
    assert server.call("GET", "/api/v1/keys", headers=bearer(admin["key"]))[1]["items"][0]["last_used_unix_ms"]
    assert server.stop() < 10
    server.env.pop("CHRONO_BOOTSTRAP_KEY")
    assert KEY.findall(server.greeted()) == [], "there was a key before"
    assert (status(server, admin["key"]), status(server, BOOTSTRAP)) == (200, 401)
    code, refused = server.call("DELETE", f"/api/v1/keys/{admin['id']}", headers=bearer(admin["key"]))
    assert (code, refused["code"]) == (409, "last_admin_key")
    server.stop()
    secret = admin["key"].rpartition("_")[2].encode()
    found = [p for p in server.data_dir.rglob("*") if p.is_file()]
    assert any(admin["id"].encode() in p.read_bytes() for p in found), "the key itself is on the disk"
    assert not [p for p in found if secret in p.read_bytes() or BOOTSTRAP.encode() in p.read_bytes()]

"""Who gets through the deployed API Gateway: tokens of an issuer, keys, and no forgery."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import closing
from typing import Any

import boto3
import pytest

from tests.e2e.dev_server import DevServer
from tests.kit.forgeries import forgeries
from tests.kit.issuer import Issuer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCHEDULES = "/api/v1/schedules"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def refusal(server: DevServer, headers: dict[str, str]) -> tuple[int, str, dict[str, Any]]:
    """Status, challenge and problem."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=40)) as connection:
        connection.request("GET", SCHEDULES, headers=headers)
        answer = connection.getresponse()
        # This is how AWS hands the header on.
        challenge = answer.headers["WWW-Authenticate"] or answer.headers["x-amzn-Remapped-WWW-Authenticate"]
        return answer.status, challenge, json.loads(answer.read())


def test_tokens_of_the_issuer_are_taken_and_forgeries_are_not(deployed: DevServer, issuer: Issuer) -> None:
    made_up = forgeries(issuer, now_ms())
    ann = bearer(issuer.token(now_ms(), sub="ann"))
    status, made = deployed.call("POST", SCHEDULES, {"type": "CRON", "expr": "@yearly"}, ann)
    assert (status, made["owner"]) == (201, "ann")
    for kind, token in made_up.items():
        status, challenge, problem = refusal(deployed, bearer(token))
        assert (status, problem["code"]) == (401, "unauthorized"), kind
        assert challenge == 'Bearer realm="chronowatch", error="invalid_token"', kind
        assert token not in json.dumps(problem)
    assert refusal(deployed, {})[:2] == (401, 'Bearer realm="chronowatch"')
    bob = bearer(issuer.token(now_ms(), sub="bob"))
    assert deployed.call("GET", f"{SCHEDULES}/{made['id']}", headers=bob)[0] == 404
    assert deployed.call("GET", f"{SCHEDULES}/{made['id']}", headers=ann)[0] == 200
    assert issuer.key_fetches < len(made_up), "keys are kept, and an unknown kid has them fetched once in a while"


def test_the_first_key_comes_by_an_invocation_and_only_once(deployed: DevServer) -> None:
    status, made = deployed.call("POST", "/api/v1/keys", {"name": "ci", "roles": ["viewer"]})
    assert status == 201
    assert deployed.call("GET", SCHEDULES, headers=bearer(made["key"]))[0] == 200
    assert deployed.call("POST", SCHEDULES, {"type": "CRON", "expr": "@yearly"}, bearer(made["key"]))[0] == 403
    wrong = made["key"][:-1] + ("a" if made["key"][-1] != "a" else "b")
    assert refusal(deployed, bearer(wrong))[:2] == (401, 'Bearer realm="chronowatch", error="invalid_token"')
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    functions = boto3.client("lambda", region_name="us-east-1", endpoint_url=deployed.endpoint, **keys)
    with closing(functions):
        answer = functions.invoke(FunctionName="chronowatch-deployed-api", Payload=b'{"chronowatch": "first_key"}')
        again = json.loads(answer["Payload"].read())
    assert again["made"] is False
    assert "key" not in again
    assert deployed.call("POST", SCHEDULES, {"chronowatch": "first_key"}, {})[0] == 401, "no request can ask for it"


def test_tls_is_not_for_the_deployed_product(new_server: Any, tmp_path: Any) -> None:
    (tmp_path / "some.pem").write_text("")
    tls = {"CHRONO_TLS_CERT": str(tmp_path / "some.pem"), "CHRONO_TLS_KEY": str(tmp_path / "some.pem")}
    server = new_server(arguments=("--deployed",), env=tls)
    assert server.launch().wait(60) == 2
    assert server.output() == (
        "scripts/dev: CHRONO_TLS_CERT: is not for --deployed: on AWS it is API Gateway that speaks TLS\n"
    )

"""What the API's function is asked by an operator of the account, and what no request can ask of it."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from typing import Any

import pytest

from chalicelib import bootstrap
from chalicelib.api.rpc import chronowatch_pb2
from chalicelib.functions import api
from chalicelib.settings import load
from tests.kit.gateway import AUTH, request
from tests.kit.services import make_services
from tests.tidy.sources import ROOT


def test_an_operator_of_the_account_gets_the_first_key_once() -> None:
    with bootstrap.override(make_services(), AUTH):
        first = api.handle(api.FIRST_KEY, None)
        assert first["made"]
        listed = api.handle(request("/api/v1/keys", None, f"Bearer {first['key']}"), None)
        assert listed["statusCode"] == 200
        assert [item["id"] for item in json.loads(listed["body"])["items"]] == [first["id"]]
        again = api.handle(api.FIRST_KEY, None)
        assert (again["made"], "key" in again) == (False, False)


def test_no_request_gets_it() -> None:
    services = make_services()
    with bootstrap.override(services, AUTH):
        for event in (request("/api/v1/keys", api.FIRST_KEY), {**request("/api/v1/keys"), **api.FIRST_KEY}):
            assert api.handle(event, None)["statusCode"] == 401
    assert services.stores.keys.ring("default").rev == 0


def test_a_key_is_judged_by_the_address_that_the_gateway_heard_from() -> None:
    with bootstrap.override(make_services(), AUTH):
        admin = f"Bearer {api.handle(api.FIRST_KEY, None)['key']}"
        for cidr, status in (("203.0.113.0/24", 200), ("203.0.114.0/24", 401)):
            made = api.handle(request("/api/v1/keys", {"name": "n", "cidrs": [cidr]}, admin), None)
            key = json.loads(made["body"])["key"]
            assert api.handle(request("/api/v1/schedules", None, f"Bearer {key}"), None)["statusCode"] == status


@pytest.mark.parametrize("function", ["deliver", "sweep", "reconcile", "feed", "api"])
def test_what_keys_need_is_loaded_by_no_function_that_fires_and_by_the_api_when_one_arrives(function: str) -> None:
    program = f"""
import sys
import chalicelib.functions.{function}
from chalicelib import bootstrap
bootstrap.services()
firing = "{function}" != "api"
unwanted = ["cryptography", "chalicelib.adapters.identity", "chalicelib.adapters.dynamodb.keys"]
unwanted += ["chalicelib.adapters.audit", "chalicelib.adapters.dynamodb.audit", "chalicelib.engine.audit"]
unwanted += ["chalicelib.usecases.audit", "chalicelib.usecases.subjects", "chalicelib.core.audit.entry"]
unwanted += ["chalicelib.core.keys", "chalicelib.usecases.keys", "chalicelib.api"] if firing else []
sys.exit([m for m in sys.modules if m.startswith(tuple(unwanted))] or 0)
"""
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "CHRONO_AUTH": "apikey", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_consoles_page_names_its_files_under_the_stage_and_the_gateway_gets_them_as_text() -> None:
    with bootstrap.override(make_services(), AUTH):
        event = request("/console")
        event["requestContext"]["path"] = "/prod/console"
        page = api.handle(event, None)
        assert page["statusCode"] == 200
        [module] = re.findall(r'<script type="module" src="([^"]+)"', page["body"])
        assert re.fullmatch(r"/prod/console/[0-9a-f]{16}/main\.mjs", module)
        release = module.split("/")[3]
        event = request("/console/{release}/{file}")
        event["path"] = module.removeprefix("/prod")
        event["pathParameters"] = {"release": release, "file": "main.mjs"}
        file = api.handle(event, None)
        assert file["statusCode"] == 200
        assert file["headers"]["Content-Type"] == "text/javascript; charset=utf-8"
        assert not file.get("isBase64Encoded"), "the gateway compresses text by itself"
        assert file["body"].startswith("// The console begins here.")


CREATE = chronowatch_pb2.CreateScheduleRequest(type="RATE", expr="rate:5s", enabled=True)
FRAMED = b"\0" + CREATE.ByteSize().to_bytes(4) + CREATE.SerializeToString()


def in_bytes(path: str, raw: bytes, kind: str) -> dict[str, Any]:
    """A POST as the gateway hands it on, for which all media types are binary."""
    event = request("/{proxy+}", {})
    event["multiValueHeaders"] = {"Content-Type": [kind]}
    return event | {
        "path": path,
        "pathParameters": {"proxy": path[1:]},
        "isBase64Encoded": True,
        "body": base64.b64encode(raw).decode(),
    }


def test_protobuf_passes_the_gateway_both_ways() -> None:
    create = "/chronowatch.v1.ScheduleService/Create"
    with bootstrap.override(make_services(), load({})):
        plain = api.handle(in_bytes(create, CREATE.SerializeToString(), "application/proto"), None)
        assert (plain["statusCode"], plain["isBase64Encoded"]) == (200, True)
        assert chronowatch_pb2.ScheduleId.FromString(base64.b64decode(plain["body"])).id
        for kind in ("application/grpc-web", "application/grpc-web+proto"):
            framed = api.handle(in_bytes(create, FRAMED, kind), None)
            assert framed["isBase64Encoded"]
            whole = base64.b64decode(framed["body"])
            length = int.from_bytes(whole[1:5])
            assert chronowatch_pb2.ScheduleId.FromString(whole[5 : 5 + length]).id
            assert whole[5 + length :].endswith(b"grpc-status: 0\r\n")
        refused = api.handle(in_bytes(create, b"\xff", "application/proto"), None)
        assert (refused["statusCode"], refused["isBase64Encoded"]) == (400, False)
        assert json.loads(refused["body"])["code"] == "invalid_argument"


def test_json_reaches_rest_and_connect_though_the_gateway_takes_it_for_bytes() -> None:
    said = json.dumps({"type": "RATE", "expr": "rate:5s", "name": "Zoë"}).encode()
    with bootstrap.override(make_services(), load({})):
        event = in_bytes("/api/v1/schedules", said, "application/json")
        event["requestContext"]["resourcePath"] = "/api/v1/schedules"
        made = api.handle(event | {"pathParameters": None}, None)
        assert (made["statusCode"], json.loads(made["body"])["name"]) == (201, "Zoë")
        listed = api.handle(in_bytes("/chronowatch.v1.ScheduleService/List", b"{}", "application/json"), None)
        assert [item["name"] for item in json.loads(listed["body"])["items"]] == ["Zoë"]

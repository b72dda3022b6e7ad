"""The gRPC server over the memory adapter: the seed's clients, parity with REST and Connect, errors, streams, TLS."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from chalicelib import bootstrap, settings
from chalicelib.api.rpc import chronowatch_pb2
from chalicelib.api.rpc.methods import BY_PATH, METHODS, Method
from chalicelib.core.limits import BODY_MAX_BYTES
from chalicelib.grpc_server.limits import HEALTH_EVERY_S
from chalicelib.grpc_server.server import GrpcServer
from chalicelib.server.tls import TlsFiles
from chalicelib.workers import sweep
from localdev import generate_grpc
from tests.clients.served import KEY, KEYS_ASKED
from tests.grpc.faces import Said, by_connect, by_grpc, by_web
from tests.kit.house import House

ROOT = Path(__file__).parents[2]
BUF = Path(sys.executable).with_name("buf")
STALE_MS = 3_600_000


class Served:
    """A house and its gRPC server."""

    def __init__(self, house: House, tls: TlsFiles | None = None) -> None:
        self.house = house
        self.server = GrpcServer(house.edge, "127.0.0.1", 0, tls)
        self.address = f"127.0.0.1:{self.server.port}"
        self.server.start()


@pytest.fixture
def served() -> Iterator[Served]:
    house = House()
    sweep.run(house.services)  # so that it is healthy
    made = Served(house)
    yield made
    made.server.stop()


def method(name: str) -> Method:
    return BY_PATH[f"/chronowatch.v1.{name.replace('.', '/')}"]


def ask(served: Served, name: str, message: Any, **metadata: str) -> Said:
    return by_grpc(served.address, method(name), message, metadata)


# -- the seed


def test_the_seeds_own_client_does_its_ten_calls(served: Served) -> None:
    client = [sys.executable, str(Path(__file__).with_name("seed_client.py")), served.address]
    ran = subprocess.run(client, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    said = json.loads(ran.stdout)
    assert int(said["now"]["wall_unix_nanos"]) == served.house.clock.now_ms() * 1_000_000
    schedule_id = said["create"]["id"]
    assert said["get"] == {
        "id": schedule_id, "type": "RATE", "expr": "rate:5s", "enabled": True, "owner": "anonymous", "sla_ms": 250,
        "shard_key": "k", "next_run_unix_ms": said["get"]["next_run_unix_ms"],
    }  # fmt: skip
    assert [item["id"] for item in said["list"]["items"]] == [schedule_id]
    assert "enabled" not in said["pause"]
    assert said["resume"]["enabled"]
    assert said["delete"] == {"id": schedule_id}
    assert said["acquire"]["acquired"]
    assert said["renew"]["fencing_token"] == said["acquire"]["fencing_token"]
    assert said["release"] == {"id": "jobs/one"}


def test_nothing_of_the_seed_is_broken_and_the_file_is_well_made() -> None:
    for command in (["lint"], ["breaking", ".", "--against", str(Path(__file__).with_name("seed"))]):
        ran = subprocess.run(
            [BUF, *command], cwd=ROOT / "proto", capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert generate_grpc.main(["--check"]) == 0, "run scripts/generate-grpc"


# -- what messages show


def test_rest_says_the_same(served: Served) -> None:
    """What a message shows is what REST shows, and an error has REST's code and fields."""
    house = served.house
    made = house.make(name="r", payload={"deep": [1, 2.5, None]}, target={"type": "webhook", "url": "https://e.com/"})
    shown = house.call("GET", f"/api/v1/schedules/{made['id']}").json
    said = ask(served, "ScheduleService.Get", chronowatch_pb2.ScheduleId(id=made["id"])).message
    assert said is not None
    for field in ("id", "type", "expr", "enabled", "owner", "name", "timezone"):
        assert said[field] == shown[field]
    assert int(said["next_run_unix_ms"]) == shown["next_run_unix_ms"]
    assert said["target"]["url"] == "https://e.com/"
    wrong = house.call("POST", "/api/v1/schedules", {"type": "CRON", "expr": "61 * * * *", "enabled": False})
    refused = ask(
        served, "ScheduleService.Create", chronowatch_pb2.CreateScheduleRequest(type="CRON", expr="61 * * * *")
    )
    assert (refused.code, refused.reason, list(refused.fields)) == ("invalid_argument", wrong.code, wrong.fields)
    again = ask(
        served, "ScheduleService.Create", chronowatch_pb2.CreateScheduleRequest(type="RATE", expr="rate:5s", name="r")
    )
    assert (again.code, again.reason) == ("already_exists", "name_taken")


@pytest.mark.parametrize(
    ("sent", "kept"), [(b'{"a":1}', {"a": 1}), (b"7", 7), (b'"hello"', "hello"), (b"null", None), (b"", None)]
)
def test_payloads_are_json(served: Served, sent: bytes, kept: object) -> None:
    asked = chronowatch_pb2.CreateScheduleRequest(type="RATE", expr="rate:5s", payload=sent, enabled=True)
    made = ask(served, "ScheduleService.Create", asked).message
    assert made is not None
    assert served.house.call("GET", f"/api/v1/schedules/{made['id']}").json["payload"] == kept


@pytest.mark.parametrize("sent", [b"hello", b"{", b"NaN", b"1e999", b"1 2", b"\xff", b"[" * 100_000])
def test_payloads_that_are_no_json_are_refused(served: Served, sent: bytes) -> None:
    asked = chronowatch_pb2.CreateScheduleRequest(type="RATE", expr="rate:5s", payload=sent)
    refused = ask(served, "ScheduleService.Create", asked)
    assert (refused.code, refused.reason, refused.fields) == ("invalid_argument", "invalid_field", ("payload",))


def test_an_idempotency_key_makes_one_schedule(served: Served) -> None:
    asked = chronowatch_pb2.CreateScheduleRequest(type="RATE", expr="rate:5s")
    first = ask(served, "ScheduleService.Create", asked, **{"idempotency-key": "k1"})
    assert ask(served, "ScheduleService.Create", asked, **{"idempotency-key": "k1"}) == first
    assert len(served.house.call("GET", "/api/v1/schedules").json["items"]) == 1


def test_credentials_are_asked_for_on_every_face() -> None:
    house = House()
    house.authenticator = bootstrap.identity(settings.load(KEYS_ASKED), house.services)
    served = Served(house)
    try:
        for asked in METHODS:
            for said in (
                by_grpc(served.address, asked, asked.request(), {}),
                by_connect(house, asked, asked.request(), {}, "json"),
                by_web(house, asked, asked.request(), {}, text=False),
            ):
                assert said.code == "unauthenticated", asked.path
        named = {"authorization": f"Bearer {KEY}"}
        assert by_grpc(served.address, method("TimeService.Now"), chronowatch_pb2.NowRequest(), named).message
        with grpc.insecure_channel(served.address) as channel, pytest.raises(grpc.RpcError) as refused:
            list(_watch(channel, chronowatch_pb2.WatchRequest()))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    finally:
        served.server.stop()


# -- Connect by itself


def test_connect_reads_by_get_and_refuses_what_it_cannot_read(served: Served) -> None:
    call, path = served.house.edge.handle, "/chronowatch.v1.TimeService/Now"
    status, _, body = call("GET", path, "connect=v1&encoding=json&message=%7B%7D", {})
    assert (status, json.loads(body)["tz"]) == (200, "UTC")
    assert call("GET", path, "connect=v1&encoding=proto&base64=1&message=", {})[0] == 200
    made = {"content-type": "application/json"}
    for query in ("encoding=xml&message=", "encoding=json&base64=1&message=***", "connect=v2&encoding=json&message={}"):
        assert json.loads(call("GET", path, query, {})[2])["code"] == "invalid_argument"
    for raw in (b"[]", b"{", b'{"type": 5}', b"\xff", b"{" * 5000):
        answer = call("POST", "/chronowatch.v1.ScheduleService/Create", "", made, raw)
        assert (answer[0], json.loads(answer[2])["code"]) == (400, "invalid_argument")
    assert call("POST", path, "", {"content-type": "text/plain"}, b"{}")[0] == 415
    assert call("PUT", path, "", made, b"{}")[0] == 405
    assert call("GET", "/chronowatch.v1.LeaseService/Acquire", "", {})[0] == 405
    assert json.loads(call("POST", "/chronowatch.v1.Nothing/Here", "", made, b"{}")[2])["code"] == "unimplemented"
    assert json.loads(call("POST", path, "", {**made, "content-encoding": "gzip"}, b"{}")[2])["code"] == "unimplemented"
    assert (
        json.loads(call("POST", path, "", {**made, "connect-timeout-ms": "soon"}, b"{}")[2])["code"]
        == "invalid_argument"
    )
    assert (
        json.loads(call("POST", path, "", {**made, "connect-timeout-ms": "0"}, b"{}")[2])["code"] == "deadline_exceeded"
    )


@pytest.mark.parametrize("raw", [b'{"enable": true}', b'{"slaMs": "soon"}'])
def test_connect_names_the_field_that_is_no_field(served: Served, raw: bytes) -> None:
    made = {"content-type": "application/json"}
    status, _, body = served.house.edge.handle("POST", "/chronowatch.v1.ScheduleService/Create", "", made, raw)
    said = json.loads(body)
    assert (status, said["code"]) == (400, "invalid_argument")
    wrong = {d["type"]: d["debug"] for d in said["details"]}
    assert wrong["google.rpc.ErrorInfo"]["reason"] == "invalid_field"
    assert wrong["google.rpc.BadRequest"]["fieldViolations"][0]["field"] in ("enable", "sla_ms", "slaMs")


@pytest.mark.parametrize(
    ("verb", "path", "kind", "raw"),
    [
        ("POST", "TimeService/Now", "application/json", b"{"),
        ("POST", "TimeService/Now", "application/proto", b"{"),
        ("POST", "TimeService/Nothing", "application/json", b"{}"),
        ("GET", "TimeService/Now", "", b""),
        ("PUT", "TimeService/Now", "application/json", b"{}"),
        ("POST", "TimeService/Now", "text/plain", b"{}"),
        ("POST", "ScheduleService/Create", "application/json", b'{"payload": "enp6"}'),
        ("POST", "TimeService/Now", "application/grpc-web+proto", b"{"),
        ("POST", "TimeService/Nothing", "application/grpc-web+proto", b"\0\0\0\0\0"),
    ],
)
def test_refusals_too_bear_trace_stamp_and_reason(served: Served, verb: str, path: str, kind: str, raw: bytes) -> None:
    sent = {"content-type": kind, "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    status, headers, body = served.house.edge.handle(verb, f"/chronowatch.v1.{path}", "", sent, raw)
    told = {name.lower(): value for name, value in headers.items()}
    assert told["traceparent"].startswith(f"00-{'ab' * 16}-")
    assert told["x-chrono-hlc"]
    if kind.endswith("+proto"):
        assert b"grpc-status-details-bin: " in body
    elif status not in (405, 415):  # Connect has no body there
        assert json.loads(body)["details"][0]["debug"]["reason"]


@pytest.mark.parametrize("raw", [b"[]", b' ""', b"null", b"1", b'"page_token"', b"[1]"])
def test_a_message_in_json_is_an_object(served: Served, raw: bytes) -> None:
    path, sent = "/chronowatch.v1.ScheduleService/List", {"content-type": "application/json"}
    status, _, body = served.house.edge.handle("POST", path, "", sent, raw)
    assert (status, json.loads(body)["code"]) == (400, "invalid_argument")
    assert json.loads(body)["message"] == "the message cannot be read: it is not a JSON object"


def test_refusals_by_grpc_bear_them_too(served: Served) -> None:
    with grpc.insecure_channel(served.address) as channel:
        call = channel.unary_unary("/chronowatch.v1.TimeService/Now")
        with pytest.raises(grpc.RpcError) as refused:
            call(b"{", timeout=20, metadata=(("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01"),))
    told = dict(refused.value.trailing_metadata())
    assert told["traceparent"].startswith(f"00-{'ab' * 16}-")
    assert told["x-chrono-hlc"]
    assert b"bad_request" in told["grpc-status-details-bin"]


@pytest.mark.parametrize("raw", [b"", b"\0\0\0\0\1", b"\1\0\0\0\0", b"\0\0\0\0\0extra"])
def test_what_is_no_grpc_web_message_is_refused(served: Served, raw: bytes) -> None:
    sent = {"content-type": "application/grpc-web+proto"}
    status, _, body = served.house.edge.handle("POST", "/chronowatch.v1.TimeService/Now", "", sent, raw)
    assert status == 200
    assert b"grpc-status: 3\r\n" in body


# -- the server


def test_a_message_that_is_too_long_is_refused(served: Served) -> None:
    asked = chronowatch_pb2.CreateScheduleRequest(
        type="RATE", expr="rate:5s", payload=b'"' + b"x" * (BODY_MAX_BYTES + 100_000) + b'"'
    )
    assert ask(served, "ScheduleService.Create", asked).code == "resource_exhausted"
    assert ask(served, "TimeService.Now", chronowatch_pb2.NowRequest()).message


def test_reflection_lists_everything_in_both_versions(served: Served) -> None:
    for version in ("v1", "v1alpha"):
        with grpc.insecure_channel(served.address) as channel:
            reflect = channel.stream_stream(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )
            [answer] = reflect(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=20)
            names = {service.name for service in answer.list_services_response.service}
            asked = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=name) for name in sorted(names)]
            described = list(reflect(iter(asked), timeout=20))
        wrong = [each.original_request for each in described if not each.file_descriptor_response.file_descriptor_proto]
        assert (len(described), wrong) == (len(names), []), "what is listed is described"
        assert {f"chronowatch.v1.{name}" for name in chronowatch_pb2.DESCRIPTOR.services_by_name} < names
        assert "grpc.health.v1.Health" in names


def test_health_follows_the_services_for_each_service(served: Served) -> None:
    serving = health_pb2.HealthCheckResponse.SERVING
    with grpc.insecure_channel(served.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        def all_say(status: int) -> bool:
            names = ["", *(f"chronowatch.v1.{name}" for name in chronowatch_pb2.DESCRIPTOR.services_by_name)]
            asked = [health_pb2.HealthCheckRequest(service=name) for name in names]
            return {stub.Check(each, timeout=20).status for each in asked} == {status}

        _until(lambda: all_say(serving))
        served.house.clock.advance(STALE_MS)  # nobody sweeps: schedules would not fire
        _until(lambda: all_say(health_pb2.HealthCheckResponse.NOT_SERVING))
        with pytest.raises(grpc.RpcError) as unknown:
            stub.Check(health_pb2.HealthCheckRequest(service="chronowatch.v1.Nothing"), timeout=20)
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


def test_health_is_not_read_while_no_caller_asks(served: Served) -> None:
    looks: list[str] = []
    handle = served.house.edge.handle

    class Counting:
        api = served.house.edge.api

        def handle(self, method: str, path: str, *more: Any) -> Any:
            looks.append(path)
            return handle(method, path, *more)

    server = GrpcServer(cast("Any", Counting()), "127.0.0.1", 0)
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            time.sleep(2.5 * HEALTH_EVERY_S)
            assert looks == []
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            assert looks == ["/health"], "the first answer is not that of the start"
            watching = stub.Watch(health_pb2.HealthCheckRequest(), timeout=60)
            assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
            _until(lambda: len(looks) >= 3)
            watching.cancel()
            _until(lambda: _stays(looks, 2 * HEALTH_EVERY_S), seconds=30)
    finally:
        server.stop()


def _stays(several: list[str], seconds: float) -> bool:
    before = len(several)
    time.sleep(seconds)
    return len(several) == before


def _until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def _watch(channel: grpc.Channel, asked: chronowatch_pb2.WatchRequest) -> Any:
    watch = channel.unary_stream(
        "/chronowatch.v1.ChangeService/Watch",
        request_serializer=chronowatch_pb2.WatchRequest.SerializeToString,
        response_deserializer=chronowatch_pb2.Change.FromString,
    )
    return watch(asked, timeout=30)


def test_a_stopping_server_loses_no_call(served: Served) -> None:
    """Each of 500 creations under way is either acknowledged and there, or refused and not there."""
    create = method("ScheduleService.Create")
    with grpc.insecure_channel(served.address) as channel:
        call = channel.unary_unary(
            create.path,
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=chronowatch_pb2.ScheduleId.FromString,
        )
        asked = chronowatch_pb2.CreateScheduleRequest(type="RATE", expr="rate:1h", enabled=True)
        under_way = [call.future(asked, timeout=60) for _ in range(500)]
        under_way[0].result()
        served.server.stop()
        made = {each.result().id for each in under_way if each.exception() is None}
    codes = {each.code() for each in under_way}
    assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    stored: set[str] = set()
    token = ""
    while True:
        page = served.house.call("GET", "/api/v1/schedules", query=f"limit=100{token}").json
        stored |= {item["id"] for item in page["items"]}
        if page["next_page_token"] is None:
            break
        token = f"&page_token={page['next_page_token']}"
    assert made <= stored, "an acknowledged one is missing"
    refused = [each for each in under_way if each.code() is not grpc.StatusCode.OK]
    assert len(stored) <= len(made) + len(refused)
    assert made


def test_callers_need_a_certificate_where_a_ca_is_set(tmp_path: Path) -> None:
    ca, callers = trustme.CA(), trustme.CA()
    files = TlsFiles(*(str(tmp_path / name) for name in ("cert.pem", "key.pem", "ca.pem")))
    issued = ca.issue_cert("localhost")
    Path(files.key).write_bytes(issued.private_key_pem.bytes())
    Path(files.cert).write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    assert files.client_ca is not None
    callers.cert_pem.write_to_path(files.client_ca)
    served = Served(House(), files)
    try:
        mine = callers.issue_cert("ann@example.com")
        chain, key, roots = mine.cert_chain_pems[0].bytes(), mine.private_key_pem.bytes(), ca.cert_pem.bytes()
        assert _now_over_tls(served, grpc.ssl_channel_credentials(roots, key, chain)) is grpc.StatusCode.OK
        assert _now_over_tls(served, grpc.ssl_channel_credentials(roots)) is grpc.StatusCode.UNAVAILABLE
        foreign = trustme.CA().issue_cert("eve@example.com")
        theirs = grpc.ssl_channel_credentials(
            roots, foreign.private_key_pem.bytes(), foreign.cert_chain_pems[0].bytes()
        )
        assert _now_over_tls(served, theirs) is grpc.StatusCode.UNAVAILABLE
        trustme_again = trustme.CA()
        trustme_again.cert_pem.write_to_path(files.client_ca)  # changed while it serves
        assert _now_over_tls(served, grpc.ssl_channel_credentials(roots, key, chain)) is grpc.StatusCode.UNAVAILABLE
    finally:
        served.server.stop()


def _now_over_tls(served: Served, credentials: grpc.ChannelCredentials) -> grpc.StatusCode:
    with grpc.secure_channel(f"localhost:{served.server.port}", credentials) as channel:
        call = channel.unary_unary(
            "/chronowatch.v1.TimeService/Now", response_deserializer=chronowatch_pb2.NowResponse.FromString
        )
        try:
            call(b"", timeout=10)
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code


def test_an_address_in_use_is_said(served: Served) -> None:
    with pytest.raises(OSError, match="cannot be bound"):
        GrpcServer(served.house.edge, "127.0.0.1", served.server.port)

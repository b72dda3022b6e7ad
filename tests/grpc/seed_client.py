"""A client made from the seed's own file: does its ten calls, and prints what came back. Run as a process of its own,
since its messages have the names of the product's."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import grpc
from google.protobuf.json_format import MessageToDict
from grpc_tools import protoc

SEED = Path(__file__).with_name("seed")


def main(address: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--python_out={folder}", f"--grpc_python_out={folder}", "chronowatch/v1/chronowatch.proto"]
        assert protoc.main(["protoc", f"-I{SEED}", *options]) == 0
        sys.path.insert(0, folder)
        from chronowatch.v1 import chronowatch_pb2 as pb
        from chronowatch.v1 import chronowatch_pb2_grpc as stubs

        with grpc.insecure_channel(address) as channel:
            schedules, leases = stubs.ScheduleServiceStub(channel), stubs.LeaseServiceStub(channel)
            answers = {"now": stubs.TimeServiceStub(channel).Now(pb.NowRequest())}
            asked = pb.CreateScheduleRequest(
                type="RATE", expr="rate:5s", payload=b'{"a": 1}', enabled=True, owner="", sla_ms=250, shard_key="k"
            )
            made = answers["create"] = schedules.Create(asked)
            answers["get"] = schedules.Get(made)
            answers["list"] = schedules.List(pb.ListSchedulesRequest(limit=10))
            answers["pause"] = schedules.Pause(made)
            answers["resume"] = schedules.Resume(made)
            answers["delete"] = schedules.Delete(made)
            holding = {"name": "jobs/one", "holder_id": "w1"}
            got = answers["acquire"] = leases.Acquire(pb.AcquireLeaseRequest(ttl_ms=5000, **holding))
            holding["fencing_token"] = got.fencing_token
            answers["renew"] = leases.Renew(pb.RenewLeaseRequest(ttl_ms=9000, **holding))
            answers["release"] = leases.Release(pb.ReleaseLeaseRequest(**holding))
        shown = {n: MessageToDict(m, preserving_proto_field_name=True) for n, m in answers.items()}
        print(json.dumps(shown))


if __name__ == "__main__":
    main(sys.argv[1])

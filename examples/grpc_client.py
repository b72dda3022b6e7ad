"""Creates a schedule by gRPC and prints when it runs. Needs ``pip install grpcio grpcio-tools``.

python3 examples/grpc_client.py [HOST:PORT]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import grpc
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent.parent / "proto"


def main(address: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = [f"--python_out={folder}", f"--grpc_python_out={folder}", "chronowatch/v1/chronowatch.proto"]
        known = str(Path(protoc.__file__).parent / "_proto")
        if protoc.main(["protoc", f"-I{PROTO}", f"-I{known}", *made]) != 0:
            sys.exit("the stubs could not be made")
        sys.path.insert(0, folder)
        from chronowatch.v1 import chronowatch_pb2, chronowatch_pb2_grpc

        with grpc.insecure_channel(address) as channel:
            schedules = chronowatch_pb2_grpc.ScheduleServiceStub(channel)
            asked = chronowatch_pb2.CreateScheduleRequest(
                type="RATE", expr="rate:5s", payload=b'{"hello": "grpc"}', enabled=True
            )
            made_id = schedules.Create(asked, timeout=10)
            print(schedules.Get(made_id, timeout=10))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9090")

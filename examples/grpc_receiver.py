"""Takes firings as a gRPC service and prints a line for each: the id, the fencing token, the instant, the payload.

python examples/grpc_receiver.py [--port 9500]

Needs ``pip install grpcio grpcio-tools``. The target of a schedule that calls it:

{"type": "grpc", "address": "127.0.0.1:9500", "method": "/chronowatch.examples.v1.Firings/Take"}

A firing may come more than once, since delivery is at least once: its id is printed once.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent.parent / "proto"
SOURCE = "io/cloudevents/v1/cloudevents.proto"
SERVICE = "chronowatch.examples.v1.Firings"


def messages() -> Any:
    """The messages of CloudEvents, made from the proto file. Its package is called io, as a module of Python is."""
    with tempfile.TemporaryDirectory() as folder:
        known = str(Path(protoc.__file__).parent / "_proto")
        root = str((PROTO / SOURCE).parent)
        made = ["protoc", f"-I{root}", f"-I{known}", f"--python_out={folder}", "cloudevents.proto"]
        if protoc.main(made) != 0:
            sys.exit("the messages could not be made")
        sys.path.insert(0, folder)
        import cloudevents_pb2

        return cloudevents_pb2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=9500)
    port = parser.parse_args().port
    cloudevents, seen = messages(), set[str]()

    def take(request: Any, _context: Any) -> bytes:
        if request.id not in seen:
            seen.add(request.id)
            attributes = request.attributes
            at = attributes["time"].ce_timestamp.ToJsonString()
            token = attributes["fencingtoken"].ce_integer
            print(request.id, token, at, json.dumps(json.loads(request.text_data)), flush=True)
        return b""  # whatever it answers with OK counts; google.protobuf.Empty is no byte

    method = grpc.unary_unary_rpc_method_handler(take, request_deserializer=cloudevents.CloudEvent.FromString)
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Take": method}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()

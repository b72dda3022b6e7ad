"""A gRPC service that takes anything, as a process of its own: what a test calls, freezes and kills.

python -m tests.contract.grpc_service PORT RECORD [--max BYTES] [--tls CERTIFICATE KEY [--client-ca CA]]

It appends each request to RECORD as one JSON line. The method's name says how it answers: ``Due`` by OK, ``Slow`` after
a minute, ``Guarded`` by OK to those who know the token, and the name of a status by that status.
"""

from __future__ import annotations

import argparse
import json
import threading
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

TOKEN = "Bearer right-token"
ENOUGH_S = 60.0


class Anything(grpc.GenericRpcHandler):
    """Every method there could be."""

    def __init__(self, record: Path) -> None:
        self._record = record
        self._lock = threading.Lock()

    def service(self, details: Any) -> Any:
        name = details.method.rpartition("/")[2]
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._answer(name, request, context))

    def _answer(self, name: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        identity = [each.decode() for each in context.auth_context().get("x509_common_name", ())]
        self._write({"method": name, "request": request.hex(), "metadata": metadata, "client": identity})
        if name == "Slow":
            broken_off = threading.Event()
            context.add_callback(broken_off.set)
            if broken_off.wait(ENOUGH_S):
                self._write({"method": "broken off"})
        if name == "Guarded" and metadata.get("authorization") != TOKEN:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, f"not {metadata.get('authorization')}")
        if name.isupper():
            context.set_trailing_metadata((("grpc-retry-pushback-ms", "1500"), ("reason", "because")))
            context.abort(grpc.StatusCode[name], f"said with {name} and {metadata.get('authorization')}")
        return b""

    def _write(self, line: dict[str, Any]) -> None:
        with self._lock, self._record.open("a") as file:
            file.write(json.dumps(line) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("record", type=Path)
    parser.add_argument("--max", type=int, default=4 * 1024 * 1024)
    parser.add_argument("--tls", nargs=2, type=Path)
    parser.add_argument("--client-ca", type=Path)
    chosen = parser.parse_args()
    options = [("grpc.max_receive_message_length", chosen.max), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(64), (Anything(chosen.record),), options=options)
    at = f"127.0.0.1:{chosen.port}"
    if chosen.tls:
        certificate, key = (path.read_bytes() for path in chosen.tls)
        ca = chosen.client_ca.read_bytes() if chosen.client_ca else None
        server.add_secure_port(at, grpc.ssl_server_credentials([(key, certificate)], ca, ca is not None))
    else:
        server.add_insecure_port(at)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()

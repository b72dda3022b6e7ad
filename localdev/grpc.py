"""The gRPC server of ``scripts/dev``, under the supervisor."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from localdev.processes import run_child

_log = logging.getLogger(__name__)


def prepare(on_terminal: bool = True) -> Callable[[threading.Event], None]:
    """Load the API; what is returned serves it."""
    from app import app
    from chalicelib import bootstrap
    from chalicelib.adapters.aws import telemetry
    from chalicelib.api.http.edge import Edge
    from chalicelib.grpc_server.server import GrpcServer
    from chalicelib.server.tls import files_of
    from localdev import tables
    from localdev.server import warn_on_terminal

    chosen = bootstrap.settings()
    telemetry.configure_logging(chosen.log_level)
    if on_terminal:
        warn_on_terminal()
    edge, files = Edge(app), files_of(chosen.tls_cert, chosen.tls_key, chosen.tls_client_ca)

    def serve(stopping: threading.Event) -> None:
        assert chosen.grpc_port is not None
        tables.bring_up_to_date(chosen)
        server = GrpcServer(edge, chosen.http_host, chosen.grpc_port, files)
        server.start()
        _log.info("gRPC is served on port %d", server.port)
        stopping.wait()
        server.stop()
        bootstrap.services().tracer.flush()

    return serve


if __name__ == "__main__":
    run_child(prepare)

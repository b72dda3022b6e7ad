"""The REST server of ``scripts/dev``: the product's own server, under the supervisor."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from localdev.processes import note_ready, run_child

if TYPE_CHECKING:
    from chalicelib.api.http.edge import Edge

STOP_S = 4.0
READY_AGAIN_S = 0.05


def prepare(on_terminal: bool = True) -> Callable[[threading.Event], None]:
    """Load the API; what is returned serves it."""
    from app import app
    from chalicelib import bootstrap
    from chalicelib.adapters.aws import telemetry
    from chalicelib.api.http.edge import Edge
    from chalicelib.server.limits import patience
    from chalicelib.server.server import Server
    from chalicelib.server.tls import files_of
    from localdev import garbage, publisher, tables

    chosen = bootstrap.settings()
    telemetry.configure_logging(chosen.log_level)
    if on_terminal:
        warn_on_terminal()
    edge, files = Edge(app), files_of(chosen.tls_cert, chosen.tls_key, chosen.tls_client_ca)

    def serve(stopping: threading.Event) -> None:
        tables.bring_up_to_date(chosen)
        server = Server(
            edge,
            chosen.http_host,
            chosen.http_port,
            bootstrap.clock().now_ms,
            files,
            patience=patience(chosen.read_timeout_ms, chosen.write_timeout_ms),
        )
        serving = server.start()
        garbage.keep(stopping, lambda: True)  # a call waits for it now and then, and no firing does
        publisher.start(bootstrap.services, stopping)
        if files is None:
            note_ready()
        else:
            _note_when_healthy(edge, stopping)
        stopping.wait()
        server.stop()
        serving.join(STOP_S)
        publisher.publish(bootstrap.services())
        bootstrap.services().tracer.flush()

    return serve


def _note_when_healthy(edge: Edge, stopping: threading.Event) -> None:
    """The supervisor has no certificate to ask with. ``/health`` is asked here; a refusal will do too, since then the
    server answers, and wants credentials."""
    while not stopping.is_set():
        if edge.handle("GET", "/health", "", {})[0] != HTTPStatus.SERVICE_UNAVAILABLE:
            note_ready()
            return
        stopping.wait(READY_AGAIN_S)


def warn_on_terminal() -> None:
    """Warnings also go to the terminal, one short line each; the whole record is in the log file."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_OneLine("%(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)


class _OneLine(logging.Formatter):
    def formatException(self, ei: object) -> str:
        return ""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).rstrip()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    run_child(prepare)

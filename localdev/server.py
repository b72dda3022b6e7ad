"""The REST server of ``scripts/dev``: the API's WSGI application, as API Gateway would call it, behind waitress."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chalicelib.process.limits import LEASE_HELD_CALLS_MAX, TICK_STREAMS_MAX
from localdev.processes import run_child

if TYPE_CHECKING:
    from chalicelib.api.http.edge import Edge

# So many acquire calls may each hold one for 25 s, and subscriptions to ticks for minutes; the others go on.
THREADS = LEASE_HELD_CALLS_MAX + TICK_STREAMS_MAX + 32
CONNECTIONS_MAX = 1000
# The API answers 413 far below, and API Gateway at 10 MB; past this a body is not even read to be refused.
BODY_READ_MAX_BYTES = 64 * 1024 * 1024


def prepare() -> Callable[[threading.Event], None]:
    """Load the API; what is returned serves it."""
    from app import app
    from chalicelib import bootstrap
    from chalicelib.adapters.aws import telemetry
    from chalicelib.api.http import edge

    chosen = bootstrap.settings()
    telemetry.configure_logging(chosen.log_level)
    warn_on_terminal()
    application = edge.application(app)

    def serve(stopping: threading.Event) -> None:
        server = listen(application, chosen.http_host, chosen.http_port)
        threading.Thread(target=server.run, name="server", daemon=True).start()
        stopping.wait()
        server.close()
        server.task_dispatcher.shutdown(cancel_pending=True, timeout=3)

    return serve


def listen(application: Edge, host: str, port: int) -> Any:
    """A waitress server for ``application``, bound and not yet running; what it refuses by itself is problem+json."""
    import waitress

    server = waitress.create_server(
        application,
        host=host,
        port=port,
        threads=THREADS,
        connection_limit=CONNECTIONS_MAX,
        ident=None,
        channel_request_lookahead=1,  # so that a held call learns that its caller hung up
        clear_untrusted_proxy_headers=False,  # the API judges them: CHRONO_TRUSTED_PROXIES
        outbuf_high_watermark=256 * 1024,  # a subscriber that does not read holds up its own thread, not memory
        max_request_body_size=BODY_READ_MAX_BYTES,
        expose_tracebacks=False,
    )
    server.channel_class = _channel(application)
    return server


def _channel(application: Edge) -> type[Any]:
    """Waitress's channel, which answers what it cannot read as the API would."""
    from waitress.channel import HTTPChannel
    from waitress.task import ErrorTask

    class Refusal(ErrorTask):  # type: ignore[misc] # waitress has no types
        def execute(self) -> None:
            error = self.request.error
            status, headers, body = application.refuse_unread(error.code, str(error.body))
            self.status = f"{status} {error.reason if status == error.code else 'Bad Request'}"
            self.response_headers.extend(headers.items())
            self.set_close_on_finish()
            self.content_length = len(body)
            self.write(body)

    return type("Channel", (HTTPChannel,), {"error_task_class": Refusal})


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

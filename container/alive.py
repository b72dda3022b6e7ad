"""Whether the process of a container works: the API by asking it, a worker by a note that it renews.

The note is renewed while every thread of the worker's runs. A worker whose tables are away is alive: a restart would
not bring them back.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from pathlib import Path
from typing import Final

from chalicelib.settings import Settings

NOTE: Final = "worker.alive"
RENEW_S: Final = 5.0
STALE_S: Final = 30.0
ASK_TIMEOUT_S: Final = 4.0
THREADS: Final = ("node", "rule-", "sqs-")  # by the beginning of their names: what must run in a worker


def start(data_dir: str, threads: tuple[str, ...] = THREADS) -> None:
    """Renew the note from now on, while all ``threads`` run."""
    note = _note(data_dir)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()
    threading.Thread(target=_renew, args=(note, threads), name="alive", daemon=True).start()


def problem(chosen: Settings) -> str | None:
    """What is wrong with the process of this container; None: nothing."""
    note = _note(chosen.data_dir)
    if note.exists():
        age_s = time.time() - note.stat().st_mtime
        return None if age_s < STALE_S else f"the worker has not been seen for {age_s:.0f} s"
    host = "127.0.0.1" if chosen.http_host in ("0.0.0.0", "::") else chosen.http_host  # noqa: S104 (compared only)
    try:
        if chosen.tls_cert is not None:  # which may want a certificate that is the callers' alone
            socket.create_connection((host, chosen.http_port), ASK_TIMEOUT_S).close()
            return None
        connection = http.client.HTTPConnection(host, chosen.http_port, timeout=ASK_TIMEOUT_S)
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except OSError as refused:
        return f"the API does not answer: {refused}"
    # It wants credentials that are not known here: then it serves.
    return None if status in (200, 401) else f"GET /health answers {status}"


def _renew(note: Path, threads: tuple[str, ...]) -> None:
    while True:
        running = [thread.name for thread in threading.enumerate()]
        if all(any(name.startswith(start) for name in running) for start in threads):
            note.touch()
        time.sleep(RENEW_S)


def _note(data_dir: str) -> Path:
    return Path(data_dir) / "run" / NOTE

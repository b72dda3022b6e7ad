"""Whether the process of a container works: the API by asking it, a worker by a note that it renews.

The note is renewed while every thread of the worker's runs. A worker whose tables are away is alive: a restart would
not bring them back. It bears the container's host name, since containers may share the directory, as those of
docker-compose.yml do.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from pathlib import Path
from typing import Final

from chalicelib.settings import Settings

ENDING: Final = ".alive"
RENEW_S: Final = 5.0
STALE_S: Final = 30.0
FORGET_S: Final = 86_400.0  # the note of a container that is gone
ASK_TIMEOUT_S: Final = 4.0
THREADS: Final = ("node", "rule-", "sqs-")  # by the beginning of their names: what must run in a worker


def start(data_dir: str, threads: tuple[str, ...] = THREADS, host: str = "") -> None:
    """Renew the note from now on, while all ``threads`` run. ``host`` is this machine where it is empty."""
    note = _note(data_dir, host)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()
    for other in note.parent.glob(f"*{ENDING}"):
        with contextlib.suppress(OSError):  # another container takes it away at the same time
            if time.time() - other.stat().st_mtime > FORGET_S:
                other.unlink()
    threading.Thread(target=_renew, args=(note, threads), name="alive", daemon=True).start()


def problem(chosen: Settings, host: str = "", timeout_s: float = ASK_TIMEOUT_S) -> str | None:
    """What is wrong with the process of this container; None: nothing."""
    note = _note(chosen.data_dir, host)
    if note.exists():
        age_s = time.time() - note.stat().st_mtime
        return None if age_s < STALE_S else f"the worker has not been seen for {age_s:.0f} s"
    address = "127.0.0.1" if chosen.http_host in ("0.0.0.0", "::") else chosen.http_host  # noqa: S104 (compared only)
    try:
        if chosen.tls_cert is not None:  # which may want a certificate that is the callers' alone
            socket.create_connection((address, chosen.http_port), timeout_s).close()
            return None
        connection = http.client.HTTPConnection(address, chosen.http_port, timeout=timeout_s)
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


def _note(data_dir: str, host: str) -> Path:
    return Path(data_dir) / "run" / f"{host or socket.gethostname()}{ENDING}"

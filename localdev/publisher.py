"""Publishes what a process counts, every few seconds and once more when it stops."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from chalicelib.core.errors import ChronoError
from chalicelib.ports.services import Services
from chalicelib.usecases import metrics

PERIOD_S = 5.0

_log = logging.getLogger(__name__)


def start(services: Callable[[], Services], stopping: threading.Event) -> None:
    """Begin, on a thread of its own."""
    threading.Thread(target=_run, args=(services, stopping), name="metrics", daemon=True).start()


def publish(s: Services) -> None:
    """Publish now. What could not be written is written with the next publication."""
    try:
        metrics.publish(s)
    except ChronoError as problem:
        _log.info("metrics are published later: %s", problem)
    except Exception:  # counting must not end because of one bad number
        _log.exception("metrics could not be published")


def _run(services: Callable[[], Services], stopping: threading.Event) -> None:
    while not stopping.wait(PERIOD_S):
        publish(services())

"""``sweep``: called by its rule once a minute."""

from __future__ import annotations

import logging

from chalice.app import Blueprint, CloudWatchEvent, Rate

from chalicelib import bootstrap
from chalicelib.core.errors import ChronoError
from chalicelib.core.security.caller import DEFAULT_TENANT, system_caller
from chalicelib.ports.services import Services
from chalicelib.workers import sweep

log = logging.getLogger(__name__)

blueprint = Blueprint(__name__)


@blueprint.schedule(Rate(1, unit=Rate.MINUTES), name="sweep")
def handle(event: CloudWatchEvent) -> None:
    """Put the firings of the coming horizon on the queue."""
    s = bootstrap.services()
    sweep.run(s)
    if not s.config.counts_kept:
        _emit_gauges(s)
    bootstrap.flush()


def _emit_gauges(s: Services) -> None:
    """Once a minute, what ``/metrics`` would read."""
    from chalicelib.adapters.aws import emf, telemetry
    from chalicelib.usecases.metrics import MetricReader

    try:
        measured = MetricReader().gauges(s, system_caller(DEFAULT_TENANT))
    except ChronoError as problem:
        log.warning("no gauges this minute: %s", problem)
        return
    telemetry.emit(emf.gauges(measured), s.clock.now_ms())

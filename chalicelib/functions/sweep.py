"""``sweep``: called by its rule once a minute."""

from __future__ import annotations

from chalice.app import Blueprint, CloudWatchEvent, Rate

from chalicelib import bootstrap
from chalicelib.workers import sweep

blueprint = Blueprint(__name__)


@blueprint.schedule(Rate(1, unit=Rate.MINUTES), name="sweep")
def handle(event: CloudWatchEvent) -> None:
    """Put the firings of the coming horizon on the queue."""
    sweep.run(bootstrap.services())
    bootstrap.flush()

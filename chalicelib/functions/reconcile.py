"""``reconcile``: called by its rule once a minute."""

from __future__ import annotations

from chalice.app import Blueprint, CloudWatchEvent, Rate

from chalicelib import bootstrap
from chalicelib.workers import reconcile

blueprint = Blueprint(__name__)


@blueprint.schedule(Rate(1, unit=Rate.MINUTES), name="reconcile")
def handle(event: CloudWatchEvent) -> None:
    """Go on with attempts whose worker died and with retries that are due."""
    reconcile.run(bootstrap.services())
    bootstrap.flush()

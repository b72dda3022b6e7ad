"""``reconcile``: called by its rule once a minute."""

from __future__ import annotations

from chalice.app import Blueprint, CloudWatchEvent, Rate

from chalicelib import bootstrap
from chalicelib.ports.services import Services
from chalicelib.workers import reconcile

blueprint = Blueprint(__name__)


@blueprint.schedule(Rate(1, unit=Rate.MINUTES), name="reconcile")
def handle(event: CloudWatchEvent) -> None:
    """Go on with attempts whose worker died and with retries that are due."""
    services = bootstrap.services()
    reconcile.run(services)
    audit_minute(services)
    workflow_minute(services)
    bootstrap.flush()


def workflow_minute(s: Services) -> None:
    """Check the runs of workflows whose time has come. The first minute loads what that takes."""
    if s.workflows is not None:
        from chalicelib.workers import workflow

        workflow.reconcile(s)


def audit_minute(s: Services) -> None:
    """Keep the audit whole. What that takes is loaded by the first minute, not by the start of a worker."""
    if s.config.audit != "off":
        from chalicelib.engine import audit_keeping

        audit_keeping.run(s)

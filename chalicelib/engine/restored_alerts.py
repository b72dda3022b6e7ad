"""Alerts out of a backup, made safe to serve: what was announced since the backup is not announced again.

Monitors expect their pings from now on: meanwhile none could arrive. Messages that were to be sent are forgotten.
Incidents and messages are numbered above all that can have been given out: receivers know messages by these numbers.
"""

from __future__ import annotations

from typing import NamedTuple

from chalicelib.core.errors import NotFound
from chalicelib.core.heartbeats import heartbeat
from chalicelib.core.notices import rule_book
from chalicelib.engine import heartbeats, notices
from chalicelib.ports.services import Services


class RestoredAlerts(NamedTuple):
    """What a backup holds: monitors and rules, each by its tenant and id."""

    monitors: list[tuple[str, str]]
    rules: list[tuple[str, str]]


def settle(s: Services, found: RestoredAlerts) -> None:
    """Settle them. May be repeated. Raises TooMany where many workers write."""
    for tenant, rule_id in found.rules:
        # A rule without a book may have had one since: then its numbers were given out.
        notices.change(s, tenant, rule_id, rule_book.restored)
    for tenant, monitor_id in found.monitors:
        try:
            heartbeats.change(s, tenant, monitor_id, lambda known: heartbeat.restored(known, s.clock.now_ms()))
        except NotFound:
            continue

"""Callers that were refused for their quota, for the notification rules."""

from __future__ import annotations

import logging

from chalicelib.core.errors import ChronoError
from chalicelib.core.notices.limits import QUOTA_CALM_MS, QUOTA_NOTED_EVERY_MS
from chalicelib.core.notices.rule import Signal
from chalicelib.core.quotas.shared_bucket import QuotaKey
from chalicelib.engine import notices
from chalicelib.ports.services import Services

log = logging.getLogger(__name__)


def note(s: Services, key: QuotaKey, detail: str) -> None:
    """Note that a caller was refused, and for what. All processes that do so in a minute count once. A store that is
    away changes nothing for the caller: the refusal is answered all the same."""
    now_ms = s.clock.now_ms()
    refused = Signal(
        subject=f"caller/{key.subject}",
        name=key.subject,
        owner=key.subject,
        causes=("quota",),
        at_ms=now_ms,
        source=f"{key.subject}/{key.quota}/{now_ms // QUOTA_NOTED_EVERY_MS}",
        detail=detail,
        calm_ms=QUOTA_CALM_MS,
    )
    try:
        notices.signal(s, key.tenant, [refused])
    except ChronoError as problem:
        log.warning("a refusal of %s was not noted: %s", key.subject, problem.detail)

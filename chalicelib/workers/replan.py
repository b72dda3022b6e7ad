"""When the zone rules change, schedules that follow a zone are planned anew.

``next_run`` is stored as an instant. A government that moves its clocks moves the instant of "nine in the morning". So
after a new release of the zone data, every active schedule that follows a zone's calendar is edited.
"""

from __future__ import annotations

import hashlib
import logging

from chalicelib.core.errors import InvalidField, NotFound
from chalicelib.core.limits import INSTANT_MAX_MS
from chalicelib.core.schedules.limits import REPLAN_PAGE_SCHEDULES
from chalicelib.core.schedules.schedule import Definition
from chalicelib.core.security.caller import system_caller
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import Due
from chalicelib.usecases import schedules

log = logging.getLogger(__name__)

CURSOR = "zone-data"
CALENDAR_TYPES = frozenset({"CRON", "ISO8601", "RRULE"})


def run(s: Services) -> int:
    """Re-plan what an unseen release of the zone data affects; returns how many schedules. One read when none is."""
    seen = s.stores.cursors.load(CURSOR)
    release = _number(s.config.zone_data)
    if not s.config.zone_data or seen.values.get("release") == release:
        return 0
    count = sum(_replan_shard(s, shard) for shard in range(s.config.shards))
    s.stores.cursors.save(CURSOR, {"release": release}, seen.rev)
    log.info("%d schedules follow zone data %s now", count, s.config.zone_data)
    return count


def _number(release: str) -> int:
    return int.from_bytes(hashlib.blake2b(release.encode(), digest_size=6).digest())


def _replan_shard(s: Services, shard: int) -> int:
    count = 0
    after: Due | None = None
    while True:
        page = s.stores.schedules.due(shard, INSTANT_MAX_MS, REPLAN_PAGE_SCHEDULES, after)
        definitions = s.stores.schedules.definitions([entry.key for entry in page])
        count += sum(_replan(s, d) for d in definitions.values() if is_affected(d, s.config.zone_data))
        if len(page) < REPLAN_PAGE_SCHEDULES:
            return count
        after = page[-1]


def is_affected(definition: Definition, zone_data: str) -> bool:
    """Whether the instants of a definition may differ under another release of the zone data."""
    follows = definition.type in CALENDAR_TYPES and definition.timezone not in ("UTC", "Etc/UTC")
    return follows and definition.zone_data != zone_data


def _replan(s: Services, definition: Definition) -> bool:
    caller = system_caller(definition.tenant)
    try:
        schedules.replan(s, caller, definition.id)
    except NotFound:
        return False
    except InvalidField as problem:
        log.error("a schedule was not planned anew: %s", problem, extra={"schedule_id": definition.id})
        return False
    return True

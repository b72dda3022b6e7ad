"""Items that expire are found by the hour in which they do. The emulator walks through all items every minute, which
takes a fifth of a second for 100,000 schedules, and holds up calls meanwhile.

Runs in the emulator's own environment, beside ``ministack_extended``, which loads it by path.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

REAPER = "dynamodb-ttl-reaper"
REAP_S = 60.0
HOUR_S = 3600

log = logging.getLogger("ministack_expiry")

Key = tuple[Any, Any]


class Expiry:
    """What expires when, by table. Raises AttributeError when the emulator is another."""

    def __init__(self, dynamodb: Any) -> None:
        self._dynamodb = dynamodb
        self._settings, self._tables, self._lock = dynamodb._ttl_settings, dynamodb._tables, dynamodb._lock
        self._set, self._remove, self._value = dynamodb._set_item, dynamodb._remove_item, dynamodb._extract_key_val
        self._hours: dict[tuple[str, str], defaultdict[int, set[Key]]] = {}  # by a table's ARN and its attribute

    def note(self, table: dict[str, Any], pk: Any, sk: Any, item: dict[str, Any]) -> Any:
        """Store an item as the emulator does, and note when it expires."""
        before = self._set(table, pk, sk, item)
        for (arn, attribute), hours in tuple(self._hours.items()):  # the reaper is a thread of its own
            if arn != table.get("TableArn"):
                continue
            if before is not None and (was_s := self._expires_s(before, attribute)) is not None:
                hours[int(was_s) // HOUR_S].discard((pk, sk))
            if (expires_s := self._expires_s(item, attribute)) is not None:
                hours[int(expires_s) // HOUR_S].add((pk, sk))
        return before

    def reap(self, now_s: float) -> None:
        """Remove what has expired. A table that is new here is walked through once."""
        with self._lock:
            for (account, region, name), setting in list(self._settings.all_items()):
                table, attribute = self._tables.get_scoped(account, region, name), setting.get("AttributeName")
                if not table or not attribute or setting.get("TimeToLiveStatus") != "ENABLED":
                    continue
                place = str(table.get("TableArn")), str(attribute)
                if place not in self._hours:
                    self._hours[place] = defaultdict(set)  # first, so that what is written meanwhile is noted too
                    self._walk(table, attribute, self._hours[place])
                self._reap_table(table, attribute, self._hours[place], now_s)

    def _walk(self, table: dict[str, Any], attribute: str, hours: defaultdict[int, set[Key]]) -> None:
        for pk, members in list(table["items"].items()):
            for sk, item in list(members.items()):
                if (expires_s := self._expires_s(item, attribute)) is not None:
                    hours[int(expires_s) // HOUR_S].add((pk, sk))

    def _reap_table(
        self, table: dict[str, Any], attribute: str, hours: defaultdict[int, set[Key]], now_s: float
    ) -> None:
        for hour in [hour for hour in list(hours) if hour <= now_s // HOUR_S]:
            for pk, sk in list(hours[hour]):
                item = table["items"].get(pk, {}).get(sk)
                expires_s = None if item is None else self._expires_s(item, attribute)
                if expires_s is None or int(expires_s) // HOUR_S != hour:
                    hours[hour].discard((pk, sk))  # it was deleted, or its table was
                elif expires_s <= now_s:
                    self._remove(table, pk, sk)
                    hours[hour].discard((pk, sk))
            if not hours[hour] and hour < now_s // HOUR_S:
                del hours[hour]

    def _expires_s(self, item: dict[str, Any], attribute: str) -> float | None:
        value = item.get(attribute)
        try:
            return None if value is None else float(self._value(value))
        except (ValueError, TypeError):
            return None


def expire_by_hours(dynamodb: Any) -> None:
    """Let the emulator's own thread reap this way. Raises AttributeError when the emulator is another."""
    if not any(thread.name == REAPER for thread in threading.enumerate()):
        raise AttributeError(REAPER)
    expiry = Expiry(dynamodb)

    def sleep(seconds: float) -> None:
        while threading.current_thread().name == REAPER:  # its own walk follows after this, and so never
            time.sleep(REAP_S)
            try:
                expiry.reap(time.time())
            except Exception:
                log.exception("what has expired is removed later")
        time.sleep(seconds)

    dynamodb._set_item = expiry.note
    dynamodb.time = SimpleNamespace(**{**vars(time), "sleep": sleep})

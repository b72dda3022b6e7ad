"""What the emulator lets expire, as we start it: the same items as by a walk through all of them."""

from __future__ import annotations

import random
import threading
from types import SimpleNamespace
from typing import Any

from localdev.ministack_expiry import HOUR_S, Expiry

ARN = "arn:aws:dynamodb:us-east-1:0:table/t"
Item = dict[str, Any]


class Emulator:
    """The parts of the emulator that expiry uses: one table, whose items expire by ``ttl``."""

    def __init__(self, walked: dict[str, dict[str, Item]]) -> None:
        self.table: dict[str, Any] = {"TableArn": ARN, "items": walked}
        self.setting = {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
        self.expiry = Expiry(
            SimpleNamespace(
                _ttl_settings=SimpleNamespace(all_items=lambda: [(("0", "us-east-1", "t"), self.setting)]),
                _tables=SimpleNamespace(get_scoped=lambda *_: self.table),
                _lock=threading.Lock(),
                _set_item=self._set,
                _remove_item=self.remove,
                _extract_key_val=lambda value: next(iter(value.values())),
            )
        )

    def _set(self, table: dict[str, Any], pk: str, sk: str, item: Item) -> Item | None:
        before: Item | None = table["items"].get(pk, {}).get(sk)
        table["items"].setdefault(pk, {})[sk] = item
        return before

    def set(self, pk: str, sk: str, ttl: object) -> None:
        self.expiry.note(self.table, pk, sk, {} if ttl is None else {"ttl": {"N": str(ttl)}})

    def remove(self, table: dict[str, Any], pk: str, sk: str) -> None:
        table["items"][pk].pop(sk, None)

    def left(self) -> dict[tuple[str, str], Item]:
        return {(pk, sk): item for pk, members in self.table["items"].items() for sk, item in members.items()}


def test_items_expire_as_by_a_walk_through_all() -> None:
    r = random.Random(11)
    now_s = 1_000 * HOUR_S
    stored = {"p": {"early": {"ttl": {"N": str(now_s - 5)}}, "never": {}, "odd": {"ttl": {"S": "soon"}}}}
    emulator = Emulator(stored)
    model: dict[tuple[str, str], int | None] = {("p", "early"): now_s - 5, ("p", "never"): None, ("p", "odd"): None}
    for _ in range(60):
        for _ in range(20):
            key = r.choice("pq"), f"{r.randrange(30)}"
            if key in model and r.random() < 0.2:
                emulator.remove(emulator.table, *key)
                del model[key]
            else:
                ttl = r.choice([None, now_s + r.randrange(-2 * HOUR_S, 6 * HOUR_S)])
                emulator.set(*key, ttl)
                model[key] = ttl
        emulator.expiry.reap(now_s)
        model = {key: ttl for key, ttl in model.items() if ttl is None or ttl > now_s}
        assert emulator.left().keys() == model.keys()
        now_s += r.randrange(HOUR_S)
    assert any(ttl is not None for ttl in model.values())
    assert ("p", "odd") in model


def test_a_table_without_expiry_keeps_everything() -> None:
    emulator = Emulator({"p": {"a": {"ttl": {"N": "1"}}}})
    emulator.setting["TimeToLiveStatus"] = "DISABLED"
    emulator.expiry.reap(100 * HOUR_S)
    assert ("p", "a") in emulator.left()
    emulator.setting["TimeToLiveStatus"] = "ENABLED"
    emulator.expiry.reap(100 * HOUR_S)
    assert not emulator.left()

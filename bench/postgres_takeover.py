"""How soon the other worker has, and has swept, all shards of one that was killed."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import NamedTuple

from bench.postgres_product import PostgresProduct
from bench.report import Report, Target, table

KILLS = 3
MOST_S = 5.0
SETTLED_TIMEOUT_S = 90.0
LOOK_S = 0.02
OWNERS = "SELECT name::int, doc FROM leases WHERE tenant = '#shards/sweep'"
SWEPT = "SELECT doc FROM documents WHERE kind = 'cursor' AND tenant = '' AND name = 'sweep'"


class Owner(NamedTuple):
    """Who has a shard, and since which change of hands."""

    instance: str
    fencing_token: int


def measure(report: Report, product: PostgresProduct) -> None:
    """Kill the first worker again and again; it comes back by itself each time, and gets its share again."""
    rows: list[list[object]] = []
    for number in range(1, KILLS + 1):
        before = _settled(product)
        pid = product.pid("worker")
        assert pid is not None
        begun = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        owned_s, swept_s = _taken_over(product, before, begun)
        rows.append([number, owned_s, swept_s])
    worst_s = max(float(str(row[2])) for row in rows)
    report.targets.append(Target("shards of a killed worker are swept by others, s", MOST_S, worst_s))
    report.results["takeover_s"] = [{"owned": row[1], "swept": row[2]} for row in rows]
    report.tables.append(table(["kill of a worker", "its shards have others, s", "and were swept, s"], rows))


def _settled(product: PostgresProduct) -> dict[int, Owner]:
    """Who has which shard once two have them all, in fair shares, and it stays so."""
    until, last = time.monotonic() + SETTLED_TIMEOUT_S, dict[int, Owner]()
    while time.monotonic() < until:
        now = _owners(product)
        shares = [
            sum(each.instance == name for each in now.values()) for name in {each.instance for each in now.values()}
        ]
        if now == last and len(shares) == 2 and max(shares) - min(shares) <= 1:
            return now
        last = now
        time.sleep(4.0)
    raise RuntimeError("two workers do not share the shards")


def _taken_over(product: PostgresProduct, before: dict[int, Owner], begun: float) -> tuple[float, float]:
    """Seconds until the shards of the one that was killed had other owners, and until these had swept them."""
    owned_s: float | None = None
    while time.monotonic() - begun < SETTLED_TIMEOUT_S:
        now = _owners(product)
        gone = {each.instance for each in before.values()} - {each.instance for each in now.values()}
        lost = [shard for shard, owner in before.items() if owner.instance in gone]
        if lost and owned_s is None:
            owned_s = round(time.monotonic() - begun, 2)
        swept = _swept(product)
        if lost and all(swept.get(f"token#{shard}", 0) > before[shard].fencing_token for shard in lost):
            assert owned_s is not None
            return owned_s, round(time.monotonic() - begun, 2)
        time.sleep(LOOK_S)
    raise RuntimeError("nobody took the shards over")


def _owners(product: PostgresProduct) -> dict[int, Owner]:
    found = {int(shard): json.loads(doc) for shard, doc in product.rows(OWNERS)}
    return {shard: Owner(doc["holder_id"], int(doc["fencing_token"])) for shard, doc in found.items()}


def _swept(product: PostgresProduct) -> dict[str, int]:
    rows = product.rows(SWEPT)
    return dict(json.loads(rows[0][0])) if rows else {}

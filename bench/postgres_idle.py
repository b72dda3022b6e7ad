"""The product on PostgreSQL while nothing is due: what it costs, without schedules and beside a million of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from bench.crowd import sleep_until_ms
from bench.firing import now_ms
from bench.postgres_product import PostgresProduct
from bench.product import Product
from bench.report import Report, spread, table
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.ulid import derived

IDLE_S = 30
MANY_IDLE_S = 62  # one whole turn of the minute rules
SETTLE_S = 8
MILLION = 1_000_000
ORIGINALS = 32  # in different shards; the others are copies of their rows
FAR = "at:2099-01-01T00:00:00Z"
FIRINGS = 100
RUN_UP_MS = 8000
COPIES = """
INSERT INTO states (tenant, id, shard, rev, epoch, due_ms, job_group, doc, expires_s)
SELECT s.tenant, c.new_id, s.shard, s.rev, s.epoch, s.due_ms, s.job_group, replace(s.doc, c.old_id, c.new_id),
    s.expires_s
FROM bench_copies c JOIN states s ON s.id = c.old_id;
INSERT INTO definitions (tenant, id, version, owner, enabled, type, name, tags, listed, doc, payload)
SELECT d.tenant, c.new_id, d.version, d.owner, d.enabled, d.type, d.name, d.tags, d.listed,
    replace(d.doc, c.old_id, c.new_id), d.payload
FROM bench_copies c JOIN definitions d ON d.id = c.old_id"""
SIZES = """
SELECT c.relname, pg_total_relation_size(c.oid), pg_indexes_size(c.oid) FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind = 'r' AND c.relname IN ('states', 'definitions')"""
COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


def at_rest(report: Report, product: PostgresProduct, what: str, for_s: float = IDLE_S) -> None:
    """Percent of a core that each process takes, and transactions a minute."""
    time.sleep(SETTLE_S)
    before, commits, begun = product.cpu_by_process(), _commits(product), time.monotonic()
    time.sleep(for_s)
    took_s = time.monotonic() - begun
    _note_rest(report, product, what, before, took_s, round((_commits(product) - commits) * 60 / took_s))


def _note_rest(
    report: Report, product: Product, what: str, before: Mapping[str, float], took_s: float, statements: int | None
) -> None:
    after = product.cpu_by_process()
    percent = {each: 100 * (after[each] - before[each]) / took_s for each in before if each != "machine"}
    together = sum(percent.values())
    report.results[f"at rest: {what}"] = {
        "percent_of_a_core": {name: round(each, 2) for name, each in percent.items()},
        "together": round(together, 2),
        "transactions_per_minute": statements,
    }
    shares = ", ".join(f"{name} {each:.1f}" for name, each in percent.items() if each >= 0.05)
    columns = ["at rest", "percent of a core", "of which", "transactions a minute"]
    report.tables.append(table(columns, [[what, round(together, 2), shares, statements if statements else "none"]]))


def emulator_at_rest(report: Report, for_s: float = IDLE_S) -> None:
    """The same of the product over its emulator of AWS."""
    with Product((), {"CHRONO_GRPC_PORT": "off"}) as product:
        time.sleep(SETTLE_S)
        before, begun = product.cpu_by_process(), time.monotonic()
        time.sleep(for_s)
        _note_rest(report, product, "over the emulator of AWS", before, time.monotonic() - begun, None)


def million(report: Report, count: int | None) -> None:
    """Idle cost beside very many schedules, what they take on disk, and how late firings beside them are."""
    many = count or MILLION
    with PostgresProduct(("--workers=2",)) as product:
        ids = [str(answer["id"]) for answer in product.create([{"type": "AT", "expr": FAR}] * ORIGINALS)]
        begun = time.monotonic()
        copy(product, ids, many)
        report.notes.append(f"{many} schedules were copied from {ORIGINALS} in {time.monotonic() - begun:.0f} s")
        sizes = {name: (int(all_), int(indexes)) for name, all_, indexes in product.rows(SIZES)}
        report.results["bytes"] = {name: {"all": each[0], "indexes": each[1]} for name, each in sizes.items()}
        columns = ["on disk, MB", "all", "of which indexes", "bytes a schedule"]
        rows = [[name, a // 10**6, i // 10**6, a // many] for name, (a, i) in sorted(sizes.items())]
        report.tables.append(table(columns, rows))
        at_rest(report, product, f"{many} idle schedules", MANY_IDLE_S)
        _fire_beside(report, product, many)


def copy(product: PostgresProduct, ids: list[str], many: int) -> None:
    """The rows of originals under new ids. Triggers are off: the feed would have to hear of each."""
    numbers = iter(range(len(ids), many))
    with product.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET synchronous_commit = off")
        connection.execute("CREATE TEMP TABLE bench_copies (old_id text, new_id text)")
        while lot := list(islice(numbers, 100_000)):
            with connection.cursor().copy("COPY bench_copies FROM STDIN") as rows:
                for pair in _pairs(ids, lot):
                    rows.write_row(pair)
            connection.execute(COPIES.encode())
            connection.execute("TRUNCATE bench_copies")
        connection.execute("UPDATE capacity SET jobs = jobs * %s WHERE place > 0", (many // len(ids),))
        connection.execute("VACUUM ANALYZE states, definitions")


def _pairs(ids: list[str], numbers: list[int]) -> Iterator[tuple[str, str]]:
    for number in numbers:
        old = ids[number % len(ids)]
        yield old, derived(old, number)


def _fire_beside(report: Report, product: PostgresProduct, many: int) -> None:
    first_ms = now_ms() + RUN_UP_MS
    bodies: list[dict[str, Any]] = [
        {"type": "AT", "expr": f"at:{to_rfc3339(first_ms + 50 * n)}", "target": {"type": "log"}} for n in range(FIRINGS)
    ]
    product.create(bodies)
    last_ms = first_ms + 50 * FIRINGS
    sleep_until_ms(last_ms + 2000)
    found = product.settled(first_ms, last_ms, FIRINGS, 30.0)
    if len(found.completed) != FIRINGS:
        report.faults.append(f"{len(found.completed)} of {FIRINGS} fired beside {many} others")
    s = spread(found.late_ms)
    report.results[f"firings beside {many}"] = found.as_json()
    columns = ["late by, ms", "count", "p50", "p99", "max"]
    report.tables.append(table(columns, [[f"beside {many} others", s["count"], s["p50"], s["p99"], s["max"]]]))


def _commits(product: PostgresProduct) -> int:
    return int(product.rows(COMMITS)[0][0])

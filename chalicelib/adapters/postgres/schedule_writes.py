"""Creating, changing and releasing schedules: one statement each, all or nothing.

The parts of a statement see the same moment, and none sees what another writes. Each returns a row if its condition
held. The last part refuses where one did not: then nothing of it was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import replace

from chalicelib.adapters.postgres import schedule_rows
from chalicelib.adapters.postgres.database import PostgresDatabase, Row, StatementRefused, in_lots
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.capacity import Limits, uncounted
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State
from chalicelib.ports.stores.schedules import CapacityFull, NameTaken, RevisionLost, ScheduleChange

BATCH_MAX: Final = 500  # rows of one statement
LIMITED_PLACE: Final = 0
_MEANINGS: Final[dict[str, type[Exception]]] = {"CW001": RevisionLost, "CW002": NameTaken, "CW003": CapacityFull}

_STATE_PART: Final = """
state AS (
    INSERT INTO states (tenant, id, shard, rev, epoch, due_ms, job_group, doc)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING 1)"""
_STATE_CHANGE: Final = """
state AS (
    UPDATE states SET shard = %s, rev = %s, epoch = %s, due_ms = %s, job_group = %s, doc = %s, expires_s = %s
    WHERE tenant = %s AND id = %s AND rev = %s RETURNING 1)"""
_DEFINITION_PART: Final = """,
definition AS (
    INSERT INTO definitions (tenant, id, version, owner, enabled, type, name, tags, listed, doc, payload)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (tenant, id) DO UPDATE SET version = excluded.version, owner = excluded.owner,
        enabled = excluded.enabled, type = excluded.type, name = excluded.name, tags = excluded.tags,
        listed = excluded.listed, doc = excluded.doc, payload = excluded.payload)"""
_DEFINITION_GONE: Final = """,
definition AS (DELETE FROM definitions WHERE tenant = %s AND id = %s)"""
_SNAPSHOT_PART: Final = """,
snapshot AS (
    INSERT INTO snapshots (tenant, id, version, doc, payload, expires_s) VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (tenant, id, version) DO UPDATE
    SET doc = excluded.doc, payload = excluded.payload, expires_s = excluded.expires_s)"""
_MONITOR_PART: Final = """,
monitor AS (
    INSERT INTO monitors (tenant, id, shard, rev, look_ms, doc) VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (tenant, id) DO UPDATE
    SET shard = excluded.shard, rev = excluded.rev, look_ms = excluded.look_ms, doc = excluded.doc)"""
_NAME_TAKEN_PART: Final = """,
named AS (
    INSERT INTO names AS n (tenant, owner, name, holder) VALUES (%s, %s, %s, %s)
    ON CONFLICT (tenant, owner, name) DO UPDATE SET holder = excluded.holder WHERE n.holder = excluded.holder
    RETURNING 1)"""
_NAME_FREED_PART: Final = """,
strangers AS (SELECT 1 FROM names WHERE tenant = %s AND owner = %s AND name = %s AND holder <> %s),
freed AS (DELETE FROM names WHERE tenant = %s AND owner = %s AND name = %s AND holder = %s)"""
# Where a limit is set all that is new counts in place 0: its row orders the callers, and the others only get fewer.
_CAPACITY_JUDGED: Final = """,
others AS (
    SELECT coalesce(sum(jobs), 0) AS jobs, coalesce(sum(weight), 0) AS weight FROM capacity WHERE place <> %s),
counted AS (
    INSERT INTO capacity AS c (place, jobs, weight)
    SELECT %s, g.jobs, g.weight FROM (SELECT %s::int8 AS jobs, %s::int8 AS weight) g, others o
    WHERE (%s::int8 IS NULL OR g.jobs + o.jobs <= %s::int8) AND (%s::int8 IS NULL OR g.weight + o.weight <= %s::int8)
    ON CONFLICT (place) DO UPDATE SET jobs = c.jobs + excluded.jobs, weight = c.weight + excluded.weight
    WHERE (%s::int8 IS NULL OR c.jobs + excluded.jobs + (SELECT jobs FROM others) <= %s::int8)
    AND (%s::int8 IS NULL OR c.weight + excluded.weight + (SELECT weight FROM others) <= %s::int8)
    RETURNING 1)"""
_CAPACITY_PART: Final = """,
counted{n} AS (
    INSERT INTO capacity AS c (place, jobs, weight) VALUES (%s, %s, %s)
    ON CONFLICT (place) DO UPDATE SET jobs = c.jobs + excluded.jobs, weight = c.weight + excluded.weight)"""
_JUDGED: Final = {
    "state": "WHEN NOT EXISTS (SELECT FROM state) THEN refuse('CW001')",
    "freed": "WHEN EXISTS (SELECT FROM strangers) THEN refuse('CW001')",
    "named": "WHEN NOT EXISTS (SELECT FROM named) THEN refuse('CW002')",
    "counted": "WHEN NOT EXISTS (SELECT FROM counted) THEN refuse('CW003')",
}
RELEASE: Final = """
WITH freed AS (
    UPDATE states s SET shard = g.shard, rev = g.rev, epoch = g.epoch, due_ms = g.due_ms, job_group = g.job_group,
        doc = g.doc
    FROM unnest(%s::text[], %s::text[], %s::int[], %s::int8[], %s::int8[], %s::int8[], %s::text[], %s::text[],
                %s::int8[], %s::int[], %s::int8[])
        AS g(tenant, id, shard, rev, epoch, due_ms, job_group, doc, expected, place, weight)
    WHERE s.tenant = g.tenant AND s.id = g.id AND s.rev = g.expected RETURNING s.tenant, s.id, g.place, g.weight),
fewer AS (
    UPDATE capacity c SET jobs = c.jobs - l.jobs, weight = c.weight - l.weight
    FROM (SELECT place, count(*) AS jobs, sum(weight) AS weight FROM freed WHERE place >= 0 GROUP BY place) l
    WHERE c.place = l.place)
SELECT tenant, id FROM freed"""


class _Statement:
    """One statement, put together of the parts that a write needs."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._values: list[Any] = []
        self._judged: list[str] = []

    def add(self, part: str, values: Sequence[Any], judged: str = "") -> None:
        self._parts.append(part)
        self._values += values
        if judged:
            self._judged.append(_JUDGED[judged])

    def run(self, database: PostgresDatabase) -> None:
        """Raises what the first condition that failed means."""
        sql = f"WITH {''.join(self._parts)} SELECT CASE {' '.join(self._judged)} ELSE true END"
        try:
            database.write(sql, self._values)
        except StatementRefused as refused:
            raise _MEANINGS[refused.state] from None


class ScheduleStatements:
    """``create``, ``change`` and ``release`` of ``ScheduleStore``."""

    def __init__(self, database: PostgresDatabase, retention_s: int) -> None:
        self._db = database
        self._retention_s = retention_s

    def create(self, schedule: Schedule, limits: Limits | None, monitor: MonitorState | None) -> None:
        """Raises RevisionLost when the id exists, else NameTaken, else CapacityFull."""
        definition, statement = schedule.definition, _Statement()
        statement.add(_STATE_PART, schedule_rows.state_row(schedule.state), "state")
        statement.add(_DEFINITION_PART, schedule_rows.definition_row(definition, self._db.sealing))
        if definition.name is not None:
            self._take_name(statement, definition, (definition.owner, definition.name))
        if monitor is not None:
            statement.add(_MONITOR_PART, schedule_rows.monitor_row(monitor))
        _count(statement, None, schedule.state, limits)
        statement.run(self._db)

    def change(self, change: ScheduleChange) -> None:
        """Raises RevisionLost, else NameTaken, else CapacityFull."""
        at, statement = change.state.key, _Statement()
        superseded = change.state.current.since_ms // 1000 + self._retention_s
        gone = superseded if change.definition is None else None
        row = schedule_rows.state_row(change.state)[2:]
        statement.add(_STATE_CHANGE, (*row, gone, *at, change.before.rev), "state")
        if change.definition is None:
            statement.add(_DEFINITION_GONE, at)
        else:
            statement.add(_DEFINITION_PART, schedule_rows.definition_row(change.definition, self._db.sealing))
        if change.snapshot is not None:
            snapshot = schedule_rows.snapshot_row(change.snapshot, superseded, self._db.sealing)
            statement.add(_SNAPSHOT_PART, snapshot)
        if change.old_name != change.new_name:
            if change.old_name is not None:
                guard = (at.tenant, *change.old_name, at.id)
                statement.add(_NAME_FREED_PART, (*guard, *guard), "freed")
            if change.new_name is not None:
                statement.add(_NAME_TAKEN_PART, (at.tenant, *change.new_name, at.id), "named")
        if change.monitor is not None:
            statement.add(_MONITOR_PART, schedule_rows.monitor_row(change.monitor))
        _count(statement, change.before, change.state, change.limits)
        statement.run(self._db)

    def release(self, spent: Sequence[State]) -> list[bool]:
        """Take schedules off what counts, each if its stored ``rev`` still is that of the given state."""
        answers: list[bool] = []
        for lot in in_lots(spent, BATCH_MAX, lambda state: state.key):
            columns = [list(column) for column in zip(*map(_release_row, lot), strict=True)]
            freed = {Key(*row) for row in self._db.write(RELEASE, columns)}
            answers += [state.key in freed for state in lot]
        return answers

    def _take_name(self, statement: _Statement, definition: Definition, name: tuple[str, str]) -> None:
        statement.add(_NAME_TAKEN_PART, (definition.tenant, *name, definition.id), "named")


def _release_row(state: State) -> Row:
    freed = uncounted(replace(state, rev=state.rev + 1))
    return (*schedule_rows.state_row(freed), state.rev, state.counted, state.weight_bytes)


def _count(statement: _Statement, before: State | None, after: State, limits: Limits | None) -> None:
    """What a write does to the places that count. What grows is judged where a limit is set."""
    old_place, old_weight = (-1, 0) if before is None else (before.counted, before.weight_bytes)
    moves: list[tuple[int, int, int]] = []
    if old_place == after.counted:
        if after.counted >= 0 and after.weight_bytes != old_weight:
            moves = [(after.counted, 0, after.weight_bytes - old_weight)]
    else:
        moves = [(old_place, -1, -old_weight)] if old_place >= 0 else []
        moves += [(after.counted, 1, after.weight_bytes)] if after.counted >= 0 else []
    for number, (place, jobs, weight) in enumerate(moves):
        if limits is None or (jobs <= 0 and weight <= 0):
            statement.add(_CAPACITY_PART.format(n=number), (place, jobs, weight))
            continue
        most_jobs = limits.jobs if jobs > 0 else None
        most_weight = limits.weight_bytes if weight > 0 else None
        most = (most_jobs, most_jobs, most_weight, most_weight)
        values = (place, place, jobs, weight, *most, *most)
        statement.add(_CAPACITY_JUDGED, values, "counted")

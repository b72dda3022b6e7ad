"""Schedules in PostgreSQL: a row for the definition, and a small one for the state; see docs/postgres.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.machine.combining import Combiner
from chalicelib.adapters.postgres import schedule_rows
from chalicelib.adapters.postgres.database import PostgresDatabase, Row, in_lots
from chalicelib.adapters.postgres.schedule_writes import BATCH_MAX, LIMITED_PLACE, ScheduleStatements
from chalicelib.core.executions.limits import HISTORY_RETENTION_S
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.capacity import Limits, Used
from chalicelib.core.schedules.limits import LIST_SCAN_MAX_ITEMS
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State
from chalicelib.ports.stores.policies import EPOCH_ID
from chalicelib.ports.stores.schedules import Census, Due, KeyPage, ScheduleChange, ScheduleFilter, Versioned

_KEYS: Final = "unnest(%s::text[], %s::text[]) AS g(tenant, id)"
STATES: Final = f"SELECT s.tenant, s.id, s.doc FROM {_KEYS} JOIN states s USING (tenant, id)"
EPOCHS: Final = f"SELECT s.tenant, s.id, s.epoch FROM {_KEYS} JOIN states s USING (tenant, id)"
TENANT_EPOCHS: Final = f"""{EPOCHS}
UNION ALL SELECT tenant, '{EPOCH_ID}', epoch FROM epochs WHERE tenant = ANY(%s::text[])"""
DEFINITIONS: Final = f"""
SELECT d.tenant, d.id, d.doc, d.payload FROM {_KEYS} JOIN definitions d USING (tenant, id)"""
BOTH: Final = f"""
SELECT d.tenant, d.id, d.doc, d.payload, s.doc FROM {_KEYS}
JOIN definitions d USING (tenant, id) JOIN states s USING (tenant, id)"""
SNAPSHOTS: Final = """
SELECT s.tenant, s.id, s.version, s.doc, s.payload
FROM unnest(%s::text[], %s::text[], %s::text[]) AS g(tenant, id, version)
JOIN snapshots s USING (tenant, id, version)"""
HISTORY: Final = "SELECT tenant, id, doc, payload FROM snapshots WHERE tenant = %s AND id = %s"
WRITE_STATES: Final = """
UPDATE states s SET shard = g.shard, rev = g.rev, epoch = g.epoch, due_ms = g.due_ms, job_group = g.job_group,
    doc = g.doc
FROM unnest(%s::text[], %s::text[], %s::int[], %s::int8[], %s::int8[], %s::int8[], %s::text[], %s::text[], %s::int8[])
    AS g(tenant, id, shard, rev, epoch, due_ms, job_group, doc, expected)
WHERE s.tenant = g.tenant AND s.id = g.id AND s.rev = g.expected RETURNING s.tenant, s.id"""
DUE: Final = """
SELECT due_ms, tenant, id FROM states WHERE shard = %s AND due_ms <= %s AND (due_ms, tenant, id) > (%s, %s, %s)
ORDER BY due_ms, tenant, id LIMIT %s"""
LIST_ALL: Final = """
SELECT id, true FROM definitions WHERE tenant = %s AND id < %s AND listed ORDER BY id DESC LIMIT %s"""
LIST: Final = """
SELECT id, (%(owner)s::text IS NULL OR owner = %(owner)s) AND (%(enabled)s::bool IS NULL OR enabled = %(enabled)s)
    AND (%(type)s::text IS NULL OR type = %(type)s) AND (%(tag)s::text IS NULL OR %(tag)s = ANY(tags))
    AND (%(prefix)s::text IS NULL OR starts_with(coalesce(name, ''), %(prefix)s))
FROM (SELECT * FROM definitions WHERE tenant = %(tenant)s AND id < %(after)s AND listed
    ORDER BY id DESC LIMIT %(most)s) scanned
ORDER BY id DESC"""
CENSUS: Final = """
SELECT type, enabled, count(*), max(id) FROM (
    SELECT type, enabled, id FROM definitions WHERE tenant = %s AND id > %s AND listed ORDER BY id LIMIT %s) page
GROUP BY type, enabled"""
NAMED: Final = """
SELECT n.owner, n.name, n.holder FROM unnest(%s::text[], %s::text[]) AS g(owner, name)
JOIN names n ON n.tenant = %s AND n.owner = g.owner AND n.name = g.name"""
JOBS: Final = """
SELECT id FROM states WHERE tenant = %s AND job_group = %s AND id < %s ORDER BY id DESC LIMIT %s"""
MONITORS: Final = f"SELECT m.tenant, m.id, m.rev, m.doc FROM {_KEYS} JOIN monitors m USING (tenant, id)"
DUE_MONITORS: Final = """
SELECT tenant, id FROM monitors WHERE shard = %s AND look_ms <= %s ORDER BY look_ms, tenant, id LIMIT %s"""
EPOCHS_MAX: Final = 1000  # of one read
_LAST_ID: Final = "\x7f"  # sorts after every id


class PostgresScheduleStore:
    """``ScheduleStore`` over the tables of schedules. No list lags."""

    def __init__(self, database: PostgresDatabase, retention_s: int = HISTORY_RETENTION_S) -> None:
        """``retention_s``: how long what is superseded is kept."""
        self._db = database
        self._writer = ScheduleStatements(database, retention_s)
        self._states: Combiner[tuple[State, int], bool] = Combiner(self._written, BATCH_MAX)
        # Firings look right before their instants, each for itself: those of neighbouring milliseconds share a read.
        self._epochs: Combiner[Key, int | None] = Combiner(self._read_epochs, EPOCHS_MAX)

    def create(self, schedule: Schedule, limits: Limits | None = None, monitor: MonitorState | None = None) -> None:
        """Write a new schedule. Raises RevisionLost when the id exists, NameTaken, CapacityFull."""
        self._writer.create(schedule, limits, monitor)

    def collect(self, before_ms: int, tenants: Sequence[str]) -> int:
        """A creation is one statement, and leaves nothing behind."""
        return 0

    def change(self, change: ScheduleChange) -> None:
        """Write a change. Raises RevisionLost, NameTaken or CapacityFull."""
        self._writer.change(change)

    def get(self, keys: Sequence[Key]) -> dict[Key, Schedule]:
        """Definition and state of schedules, of one moment; missing and deleted ones are left out."""
        found: dict[Key, Schedule] = {}
        for tenant, schedule_id, doc, payload, state_doc in self._rows(BOTH, keys):
            at = Key(tenant, schedule_id)
            state = documents.decode_state(at, state_doc)
            if state.status != "deleted":
                found[at] = Schedule(schedule_rows.opened(at, doc, payload, self._db.sealing), state)
        return found

    def states(self, keys: Sequence[Key]) -> dict[Key, State]:
        """The states, tombstones included, of schedules."""
        found = ((Key(tenant, schedule_id), doc) for tenant, schedule_id, doc in self._rows(STATES, keys))
        return {at: documents.decode_state(at, doc) for at, doc in found}

    def epochs(self, keys: Sequence[Key]) -> dict[Key, int]:
        """The epochs of schedules, and of what tenants' firings are judged by."""
        if not keys:
            return {}
        answers = zip(keys, self._epochs.call(keys), strict=True)
        return {at: epoch for at, epoch in answers if epoch is not None}

    def _read_epochs(self, keys: Sequence[Key]) -> list[int | None]:
        tenants = list({at.tenant for at in keys if at.id == EPOCH_ID})
        wanted = [at for at in dict.fromkeys(keys) if at.id != EPOCH_ID]
        columns = [[at.tenant for at in wanted], [at.id for at in wanted]]
        rows = self._db.read(TENANT_EPOCHS, (*columns, tenants)) if tenants else self._db.read(EPOCHS, columns)
        found = {(tenant, schedule_id): int(epoch) for tenant, schedule_id, epoch in rows}
        return [found.get(at) for at in keys]

    def definitions(self, keys: Sequence[Key]) -> dict[Key, Definition]:
        """The current definitions of schedules."""
        return {d.key: d for d in map(self._definition, self._rows(DEFINITIONS, keys))}

    def snapshots(self, versions: Sequence[Versioned]) -> dict[Versioned, Definition]:
        """Superseded definitions by version."""
        if not versions:
            return {}
        wanted = list(dict.fromkeys(versions))
        columns = [[v.key.tenant for v in wanted], [v.key.id for v in wanted], [v.version for v in wanted]]
        rows = self._db.read(SNAPSHOTS, columns)
        return {
            Versioned(Key(tenant, schedule_id), version): self._definition((tenant, schedule_id, doc, payload))
            for tenant, schedule_id, version, doc, payload in rows
        }

    def history(self, key: Key) -> list[Definition]:
        """All kept snapshots of a schedule, by ``since_ms``."""
        kept = map(self._definition, self._db.read(HISTORY, key))
        return sorted(kept, key=lambda d: (d.since_ms, d.version))

    def write_states(self, writes: Sequence[tuple[State, int]]) -> list[bool]:
        """Replace states, each if its stored ``rev`` still is the given one."""
        return self._states.call(writes) if writes else []

    def _written(self, writes: Sequence[tuple[State, int]]) -> list[bool]:
        answers: list[bool] = []
        for lot in in_lots(writes, BATCH_MAX, lambda write: write[0].key):
            rows = [(*schedule_rows.state_row(state), rev) for state, rev in lot]
            written = self._db.write(WRITE_STATES, [list(column) for column in zip(*rows, strict=True)])
            won = {Key(*row) for row in written}
            answers += [state.key in won for state, _ in lot]
        return answers

    def due(self, shard: int, until_ms: int, limit: int, after: Due | None = None) -> list[Due]:
        """Active schedules of a shard with ``next_run_ms <= until_ms``, earliest first, after a position."""
        place = (-1, "", "") if after is None else (after.next_run_ms, *after.key)
        rows = self._db.read(DUE, (shard, until_ms, *place, limit))
        return [Due(int(at_ms), Key(tenant, schedule_id)) for at_ms, tenant, schedule_id in rows]

    def list(self, tenant: str, wanted: ScheduleFilter, limit: int, after: str | None) -> KeyPage:
        """Ids of matching schedules, newest first. Reads no more than LIST_SCAN_MAX_ITEMS: a page may be short."""
        begin = _LAST_ID if after is None else after
        if wanted == ScheduleFilter():
            rows = self._db.read(LIST_ALL, (tenant, begin, limit + 1))
            ids = [row[0] for row in rows[:limit]]
            return KeyPage(ids, ids[-1] if len(rows) > limit else None)
        values = {
            "tenant": tenant,
            "after": begin,
            "most": LIST_SCAN_MAX_ITEMS + 1,
            "owner": wanted.owner,
            "enabled": wanted.enabled,
            "type": wanted.type,
            "tag": wanted.tag,
            "prefix": wanted.name_prefix or None,
        }
        rows = self._db.read(LIST, values)
        ids = [schedule_id for schedule_id, matches in rows[:LIST_SCAN_MAX_ITEMS] if matches]
        if len(ids) > limit:
            return KeyPage(ids[:limit], ids[limit - 1])
        return KeyPage(ids, rows[LIST_SCAN_MAX_ITEMS - 1][0] if len(rows) > LIST_SCAN_MAX_ITEMS else None)

    def census(self, tenant: str, limit: int, after: str | None) -> Census:
        """How many of a tenant's schedules there are, by type and by whether they fire; of the oldest ids first."""
        rows = self._db.read(CENSUS, (tenant, after or "", limit))
        counts = {(str(kind), bool(enabled)): int(number) for kind, enabled, number, _ in rows}
        full = sum(counts.values()) == limit
        return Census(counts, max(row[3] for row in rows) if full and rows else None)

    def named(self, tenant: str, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The ids of the schedules that hold the (owner, name) pairs."""
        if not names:
            return {}
        columns = [[owner for owner, _ in names], [name for _, name in names]]
        return {(owner, name): holder for owner, name, holder in self._db.read(NAMED, (*columns, tenant))}

    def jobs(self, tenant: str, group: str, limit: int, after: str | None) -> KeyPage:
        """Ids of a tenant's schedules in a group, newest first."""
        rows = self._db.read(JOBS, (tenant, group, _LAST_ID if after is None else after, limit + 1))
        ids = [row[0] for row in rows[:limit]]
        return KeyPage(ids, ids[-1] if len(rows) > limit else None)

    def spent(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """Schedules of a shard that may have ended by ``until_ms``, earliest first."""
        return [entry.key for entry in self.due(shard, until_ms, limit)]

    def place(self, shard: int, limits: Limits | None) -> int:
        """Where a limit is set all count in one place, which orders them. Else no row is hot."""
        return LIMITED_PLACE if limits is not None else 1 + shard

    def release(self, spent: Sequence[State]) -> Sequence[bool]:
        """Take schedules off what counts, each if its stored ``rev`` still is that of the given state."""
        return self._writer.release(spent)

    def used(self) -> Used:
        """What counts now."""
        rows = self._db.read("SELECT coalesce(sum(jobs), 0), coalesce(sum(weight), 0) FROM capacity")
        jobs, weight = rows[0]
        return Used(max(0, int(jobs)), max(0, int(weight)))

    def monitors(self, keys: Sequence[Key]) -> dict[Key, MonitorState]:
        """The monitors of monitored schedules."""
        rows = self._rows(MONITORS, keys)
        return {Key(t, i): documents.decode_monitor(Key(t, i), doc) for t, i, _, doc in rows}

    def due_monitors(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """Schedules of a shard whose monitor has ``look_ms <= until_ms``, earliest first."""
        return [Key(*row) for row in self._db.read(DUE_MONITORS, (shard, until_ms, limit))]

    def write_monitor(self, monitor: MonitorState, expected_rev: int) -> bool:
        """Write a monitor if its stored rev still is the given one."""
        return bool(
            self._db.write(
                "UPDATE monitors SET shard = %s, rev = %s, look_ms = %s, doc = %s "
                "WHERE tenant = %s AND id = %s AND rev = %s RETURNING 1",
                (*schedule_rows.monitor_row(monitor)[2:], *monitor.key, expected_rev),
            )
        )

    def drop_monitor(self, key: Key, expected_rev: int) -> bool:
        """Delete a monitor if its stored rev still is the given one."""
        sql = "DELETE FROM monitors WHERE tenant = %s AND id = %s AND rev = %s RETURNING 1"
        return bool(self._db.write(sql, (*key, expected_rev)))

    def _rows(self, sql: str, keys: Sequence[Key]) -> Sequence[Row]:
        wanted = dict.fromkeys(keys)
        return self._db.read(sql, [[at.tenant for at in wanted], [at.id for at in wanted]]) if wanted else ()

    def _definition(self, row: Row) -> Definition:
        tenant, schedule_id, doc, payload = row
        return schedule_rows.opened(Key(tenant, schedule_id), doc, payload, self._db.sealing)

"""``RunStore`` in PostgreSQL: a row a run, a row a decision's events, and its payloads and snapshot by name.

The events of one decision are one row, whose number is that of the first. So no two decisions follow the same event.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from chalicelib.adapters.postgres.database import PostgresDatabase, Row
from chalicelib.core.decoders import decoder_of
from chalicelib.core.workflows.run_slots import SlotTable
from chalicelib.core.workflows.run_state import RunEvent, RunState
from chalicelib.ports.stores.runs import RunLogRead, RunSummary, WokenRun

LIST_SCAN_MAX_ITEMS: Final = 1_000
_SNAPSHOT: Final = ""  # the name of the snapshot among a run's contents; payloads have names
_summary: Final = decoder_of(RunSummary).decode
_events: Final = decoder_of(list[RunEvent]).decode
_slot_table: Final = decoder_of(SlotTable).decode
_state: Final = decoder_of(RunState).decode
ENTER: Final = """
INSERT INTO runs (tenant, id, rev, started_ms, workflow, status, listed, wake_ms, doc, change)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING 1"""
SUMMARIZE: Final = """
UPDATE runs SET rev = %s, started_ms = %s, workflow = %s, status = %s, listed = %s, wake_ms = %s, doc = %s, change = %s
WHERE tenant = %s AND id = %s AND rev = %s RETURNING 1"""
WAKE_BY: Final = """
UPDATE runs SET wake_ms = %s, rev = rev + 1
WHERE tenant = %s AND id = %s AND (wake_ms IS NULL OR wake_ms NOT BETWEEN %s AND %s)"""
WOKEN: Final = "SELECT tenant, id, wake_ms FROM runs WHERE wake_ms <= %s ORDER BY wake_ms, tenant, id LIMIT %s"
PAGE: Final = """
SELECT started_ms, id, doc, rev, wake_ms,
    (%(workflow)s::text IS NULL OR workflow = %(workflow)s) AND (%(status)s::text IS NULL OR status = %(status)s)
FROM (SELECT * FROM runs WHERE tenant = %(tenant)s AND listed AND (started_ms, id) < (%(at)s, %(id)s)
    ORDER BY started_ms DESC, id DESC LIMIT %(most)s) scanned
ORDER BY started_ms DESC, id DESC"""
APPEND: Final = """
INSERT INTO run_events (tenant, run_id, number, doc) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING 1"""
# A decision's row begins at or before the number asked for.
EVENTS: Final = """
SELECT doc FROM run_events WHERE tenant = %(tenant)s AND run_id = %(run)s AND number >= coalesce((
    SELECT max(number) FROM run_events WHERE tenant = %(tenant)s AND run_id = %(run)s AND number <= %(first)s), 0)
ORDER BY number LIMIT %(limit)s"""
READ: Final = """
WITH snapshot AS (SELECT number, packed FROM run_contents WHERE tenant = %(tenant)s AND run_id = %(run)s AND name = '')
SELECT NULL, packed FROM snapshot
UNION ALL (SELECT doc, NULL FROM run_events WHERE tenant = %(tenant)s AND run_id = %(run)s
    AND number > coalesce((SELECT number FROM snapshot), 0) ORDER BY number)"""
KEEP_SNAPSHOT: Final = """
INSERT INTO run_contents AS c (tenant, run_id, name, number, packed) VALUES (%s, %s, '', %s, %s)
ON CONFLICT (tenant, run_id, name) DO UPDATE SET number = excluded.number, packed = excluded.packed
WHERE c.number < excluded.number"""
PUT: Final = """
INSERT INTO run_contents (tenant, run_id, name, number, packed, expires_s) VALUES (%s, %s, %s, 0, %s, %s)
ON CONFLICT (tenant, run_id, name) DO UPDATE SET packed = excluded.packed, expires_s = excluded.expires_s"""
CONTENTS: Final = "SELECT name, packed FROM run_contents WHERE tenant = %s AND run_id = %s AND name = ANY(%s::text[])"

NEW_SLOTS: Final = """
INSERT INTO run_slots (tenant, name, rev, packed) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING 1"""
SAVE_SLOTS: Final = """
UPDATE run_slots SET rev = %s, packed = %s WHERE tenant = %s AND name = %s AND rev = %s RETURNING 1"""
DROP_SLOTS: Final = "DELETE FROM run_slots WHERE tenant = %s AND name = %s AND rev = %s RETURNING 1"
PURGE: Final = """
WITH events AS (DELETE FROM run_events WHERE tenant = %(tenant)s AND run_id = %(run)s),
contents AS (DELETE FROM run_contents WHERE tenant = %(tenant)s AND run_id = %(run)s)
DELETE FROM runs WHERE tenant = %(tenant)s AND id = %(run)s"""


class PostgresRunStore:
    """``RunStore``: no list lags."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._db = database

    def enter(self, summary: RunSummary) -> bool:
        """Write the summary of a run that has none."""
        return bool(self._db.write(ENTER, (summary.tenant, summary.id, *_columns(summary))))

    def append(self, tenant: str, run_id: str, events: Sequence[RunEvent]) -> bool:
        """Add events, which are numbered in a row. False when the first one's number is taken."""
        doc = msgspec.json.encode(list(events)).decode()
        return bool(self._db.write(APPEND, (tenant, run_id, events[0].number, doc)))

    def read(self, tenant: str, run_id: str) -> RunLogRead:
        """The newest snapshot and the events after it, of one moment."""
        state: RunState | None = None
        events: list[RunEvent] = []
        for doc, packed in self._db.read(READ, {"tenant": tenant, "run": run_id}):
            if packed is not None:
                state = _state(zlib.decompress(packed))
            else:
                events += _events(doc)
        return RunLogRead(state, events)

    def events(self, tenant: str, run_id: str, after: int, limit: int) -> list[RunEvent]:
        """Events after a number, in order."""
        values = {"tenant": tenant, "run": run_id, "first": after + 1, "limit": limit + 1}
        found = [event for row in self._db.read(EVENTS, values) for event in _events(row[0])]
        return [event for event in found if event.number > after]

    def snapshot(self, state: RunState) -> None:
        """Keep the state as of its last event, unless a newer one is kept."""
        packed = zlib.compress(msgspec.json.encode(state))
        self._db.write(KEEP_SNAPSHOT, (state.tenant, state.id, state.events, packed))

    def summarize(self, summary: RunSummary, expected_rev: int) -> bool:
        """Replace a run's summary if its stored rev still is ``expected_rev``."""
        return bool(self._db.write(SUMMARIZE, (*_columns(summary), summary.tenant, summary.id, expected_rev)))

    def wake_by(self, tenant: str, run_id: str, wake_ms: int, kept_from_ms: int) -> None:
        """Have a run checked by then."""
        self._db.write(WAKE_BY, (wake_ms, tenant, run_id, kept_from_ms, wake_ms))

    def woken(self, until_ms: int, limit: int) -> list[WokenRun]:
        """Runs to check by an instant, of all tenants, the earliest first."""
        return [WokenRun(tenant, run_id, int(at)) for tenant, run_id, at in self._db.read(WOKEN, (until_ms, limit))]

    def load(self, tenant: str, run_id: str) -> RunSummary | None:
        """A run's summary."""
        rows = self._db.read("SELECT doc, rev, wake_ms FROM runs WHERE tenant = %s AND id = %s", (tenant, run_id))
        return _read(rows[0]) if rows else None

    def page(
        self, tenant: str, workflow: str | None, status: str | None, limit: int, after: str | None
    ) -> tuple[list[RunSummary], str | None]:
        """A tenant's runs, newest first, and where to go on (None: the end). A page may be short."""
        at_ms, _, run_id = ("9" * 15, "", "") if after is None else after.partition("#")
        most = limit + 1 if workflow is None and status is None else LIST_SCAN_MAX_ITEMS
        values = {"tenant": tenant, "workflow": workflow, "status": status, "at": int(at_ms), "id": run_id}
        rows = self._db.read(PAGE, {**values, "most": most})
        found = [row for row in rows if row[5]]
        summaries = [_read(row[2:5]) for row in found[:limit]]
        if len(found) > limit:
            return summaries, _place(found[limit - 1])
        return summaries, _place(rows[-1]) if len(rows) == most and most > limit + 1 else None

    def slots(self, tenant: str, name: str) -> SlotTable | None:
        """Who has the slots of one key."""
        rows = self._db.read("SELECT packed FROM run_slots WHERE tenant = %s AND name = %s", (tenant, name))
        return _slot_table(zlib.decompress(rows[0][0])) if rows else None

    def save_slots(self, table: SlotTable, expected_rev: str) -> bool:
        """Write a table if its stored rev still is ``expected_rev`` (empty: if there is none); an empty one goes."""
        at = (table.tenant, table.name)
        packed = zlib.compress(msgspec.json.encode(table))
        if not table.held and not table.waiting:
            if not expected_rev:
                return self.slots(*at) is None
            return bool(self._db.write(DROP_SLOTS, (*at, expected_rev)))
        if not expected_rev:
            return bool(self._db.write(NEW_SLOTS, (*at, table.rev, packed)))
        return bool(self._db.write(SAVE_SLOTS, (table.rev, packed, *at, expected_rev)))

    def purge(self, tenant: str, run_id: str) -> bool:
        """Delete all that is kept of a run, in one statement."""
        self._db.write(PURGE, {"tenant": tenant, "run": run_id})
        return True

    def put_payload(self, tenant: str, run_id: str, name: str, content: bytes, expires_s: int | None = None) -> None:
        """Keep bytes under a name."""
        assert name != _SNAPSHOT, "a payload has a name"
        self._db.write(PUT, (tenant, run_id, name, bytes(content), expires_s))

    def payloads(self, tenant: str, run_id: str, names: Sequence[str]) -> dict[str, bytes]:
        """Bytes that were kept, by name; what is not there is left out."""
        wanted = [name for name in names if name != _SNAPSHOT]
        rows = self._db.read(CONTENTS, (tenant, run_id, wanted)) if wanted else []
        return {name: bytes(packed) for name, packed in rows}


def _columns(summary: RunSummary) -> Row:
    """rev, started_ms, workflow, status, listed, wake_ms, doc, change."""
    doc = msgspec.json.encode(replace(summary, change=None)).decode()
    change = None if summary.change is None else zlib.compress(msgspec.json.encode(summary.change))
    at_ms, wake_ms = summary.started_ms, summary.wake_ms
    return (summary.rev, at_ms, summary.workflow, summary.status, summary.listed, wake_ms, doc, change)


def _read(row: Row) -> RunSummary:
    """The document, with what ``wake_by`` may have changed beside it."""
    doc, rev, wake_ms = row
    return replace(_summary(doc), rev=int(rev), wake_ms=None if wake_ms is None else int(wake_ms))


def _place(row: Row) -> str:
    return f"{row[0]:015d}#{row[1]}"

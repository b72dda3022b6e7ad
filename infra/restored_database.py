"""A PostgreSQL that was restored to a moment before now, settled before any worker runs: nothing fires twice.

First everything is taken out of what workers look into, in one transaction. Then each schedule is settled and paused,
and fencing tokens are raised (``chalicelib.engine.restored``). Monitors expect their pings from now on. What was still
to be notified is forgotten. An operator resumes what may go on.
"""

from __future__ import annotations

from msgspec.structs import replace

from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.execution_rows import key_of
from chalicelib.core.errors import Conflict
from chalicelib.core.leases import lease_document
from chalicelib.engine import restored, restored_alerts, shards
from chalicelib.engine.restored import Settled
from chalicelib.engine.restored_alerts import RestoredAlerts
from chalicelib.engine.workflows.restored_runs import RestoredRun
from chalicelib.ports.services import Services

# The feed passes over all of it: its subscribers heard of it before the moment, or hear of what follows.
HOLD = """
UPDATE states SET due_ms = NULL WHERE due_ms IS NOT NULL;
UPDATE monitors SET look_ms = 9000000000000000;
UPDATE alerts SET wake_ms = NULL WHERE wake_ms IS NOT NULL;
UPDATE runs SET wake_ms = NULL WHERE wake_ms IS NOT NULL;
DELETE FROM run_slots;
DELETE FROM watches WHERE due_ms IS NOT NULL;
DELETE FROM messages WHERE queue IN ('work', 'steps');
DELETE FROM written"""
UNDER_WAY = "SELECT tenant, schedule_id, firing_ms, manual FROM executions WHERE expires_s IS NULL"
MONITORS = "SELECT tenant, id FROM alerts WHERE kind = 'monitor'"
RULES = "SELECT tenant, id FROM alerts WHERE kind = 'rule'"
RUNS = "SELECT tenant, id FROM runs"
RAISE = "UPDATE leases SET rev = rev + 1, doc = %s WHERE tenant = %s AND name = %s"


def settle(s: Services, database: PostgresDatabase) -> Settled:
    """Settle everything as of now. May be repeated. Raises Conflict where workers live, TooMany where they write."""
    if live := sorted(shards.live_nodes(s)):
        raise Conflict(f"workers live on this database: {', '.join(live)}; stop all of them, and run this again")
    database.run(HOLD)
    for tenant, name, doc in database.read("SELECT tenant, name, doc FROM leases"):
        # Also what was raised before: this may be a backup of a database that was restored once.
        lease = lease_document.read(doc)
        raised = replace(lease, fencing_token=lease.fencing_token + restored.TOKENS_RAISED)
        database.write(RAISE, (lease_document.write(raised), tenant, name))
    restored_alerts.settle(s, RestoredAlerts(_places(database, MONITORS), _places(database, RULES)))
    under_way = [key_of(*row) for row in database.read(UNDER_WAY)]
    runs = [RestoredRun(*row) for row in database.read(RUNS)]
    return restored.settle(s, s.clock.now_ms(), under_way, runs)


def _places(database: PostgresDatabase, query: str) -> list[tuple[str, str]]:
    return [(tenant, record_id) for tenant, record_id in database.read(query)]

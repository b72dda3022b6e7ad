"""The tables that a process needs before it can work, where it makes them itself."""

from __future__ import annotations

import time

from chalicelib.settings import Settings


def bring_up_to_date(chosen: Settings) -> None:
    """Where PostgreSQL stores: make its tables and partitions, or those that are new. On AWS a deployment makes
    them, and on an emulator the supervisor. Raises SettingsError, Unavailable."""
    if chosen.db_dsn is None:
        return
    from chalicelib.adapters.postgres.database import Place, PostgresDatabase
    from chalicelib.adapters.postgres.housekeeping import keep_partitions
    from infra.migrate import migrate

    place = Place.of_stage(chosen.db_dsn, chosen.stage)
    migrate(place)
    database = PostgresDatabase(place, pool_max=1)
    try:
        keep_partitions(database, time.time_ns() // 1_000_000, chosen.retention_ms // 1000)
    finally:
        database.close()

-- Monitors, notification rules with their books, and the ledger of what was sent. wake_ms is NULL while time changes
-- nothing about one.
CREATE TABLE alerts (
    tenant text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    rev bigint NOT NULL,
    wake_ms bigint,
    expires_s bigint,
    doc text NOT NULL,
    PRIMARY KEY (tenant, kind, id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX alerts_wake ON alerts (wake_ms, tenant, id) WHERE wake_ms IS NOT NULL;
CREATE INDEX alerts_expire ON alerts (expires_s) WHERE expires_s IS NOT NULL;

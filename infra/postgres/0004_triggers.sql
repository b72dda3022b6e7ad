-- An execution that an event set off is found by its event, whatever its instant. Its schedule_id is
-- SCHEDULE-EVENT and its firing_ms is 0, so it lies in executions_rest. at_ms says when it fires, for lists.
ALTER TABLE executions ADD COLUMN at_ms bigint;
CREATE INDEX executions_of_events ON executions_rest (tenant, shard, at_ms, schedule_id) WHERE at_ms IS NOT NULL;
CREATE INDEX executions_rest_expire ON executions_rest (expires_s) WHERE expires_s IS NOT NULL;

-- The schedule of a trigger is in no list of schedules.
ALTER TABLE definitions ADD COLUMN listed boolean NOT NULL DEFAULT true;

-- What triggers wait for. due_ms is NULL while one waits for nothing.
CREATE TABLE watches (
    tenant text COLLATE "C" NOT NULL,
    trigger_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    rev bigint NOT NULL,
    due_ms bigint,
    doc text NOT NULL,
    PRIMARY KEY (tenant, trigger_id, kind, key)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX watches_due ON watches (due_ms, tenant, trigger_id, kind, key) WHERE due_ms IS NOT NULL;

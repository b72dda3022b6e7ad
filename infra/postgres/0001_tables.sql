-- The tables of one deployment, in a schema of their own: docs/postgres.md says what each is for.
-- Text that is a key is ordered by its bytes, as every other store orders it.

CREATE TABLE states (
    tenant text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    shard integer NOT NULL,
    rev bigint NOT NULL,
    epoch bigint NOT NULL,
    due_ms bigint,
    job_group text COLLATE "C",
    doc text NOT NULL,
    expires_s bigint,
    PRIMARY KEY (tenant, id)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 1
);
CREATE INDEX states_due ON states (shard, due_ms, tenant, id) WHERE due_ms IS NOT NULL;
CREATE INDEX states_jobs ON states (tenant, job_group, id) WHERE job_group IS NOT NULL;
CREATE INDEX states_expire ON states (expires_s) WHERE expires_s IS NOT NULL;

CREATE TABLE definitions (
    tenant text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    version text NOT NULL,
    owner text NOT NULL,
    enabled boolean NOT NULL,
    type text NOT NULL,
    name text,
    tags text[] NOT NULL,
    doc text NOT NULL,
    payload text NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE snapshots (
    tenant text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    doc text NOT NULL,
    payload text NOT NULL,
    expires_s bigint NOT NULL,
    PRIMARY KEY (tenant, id, version)
);
CREATE INDEX snapshots_expire ON snapshots (expires_s);

CREATE TABLE names (
    tenant text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    holder text NOT NULL,
    PRIMARY KEY (tenant, owner, name)
);

CREATE TABLE monitors (
    tenant text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    shard integer NOT NULL,
    rev bigint NOT NULL,
    look_ms bigint NOT NULL,
    doc text NOT NULL,
    PRIMARY KEY (tenant, id)
) WITH (fillfactor = 80);
CREATE INDEX monitors_look ON monitors (shard, look_ms, tenant, id);

-- What counts against the limits. Place 0 is judged by them; without limits each shard has a place of its own.
CREATE TABLE capacity (
    place integer PRIMARY KEY,
    jobs bigint NOT NULL,
    weight bigint NOT NULL
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
INSERT INTO capacity (place, jobs, weight) VALUES (0, 0, 0);

-- Raised when a tenant's policies or the pause of its queue change: firings read it right before their instants.
CREATE TABLE epochs (
    tenant text COLLATE "C" PRIMARY KEY,
    epoch bigint NOT NULL
);

-- Ranges of instants are dropped as a whole at the end of their retention (infra/postgres_partitions.py makes them).
-- The rest holds what belongs to no range: backfills of long ago, and what was still open when its range went.
CREATE TABLE executions (
    tenant text COLLATE "C" NOT NULL,
    schedule_id text COLLATE "C" NOT NULL,
    firing_ms bigint NOT NULL,
    manual boolean NOT NULL,
    shard integer NOT NULL,
    rev bigint NOT NULL,
    open_ms bigint,
    bad_ms bigint,
    expires_s bigint,
    doc text NOT NULL,
    PRIMARY KEY (tenant, schedule_id, firing_ms, manual)
) PARTITION BY RANGE (firing_ms);
CREATE INDEX executions_recent ON executions (tenant, shard, firing_ms, schedule_id, manual);
CREATE INDEX executions_open ON executions (shard, open_ms) WHERE open_ms IS NOT NULL;
CREATE INDEX executions_bad ON executions (shard, bad_ms) WHERE bad_ms IS NOT NULL;
CREATE TABLE executions_rest PARTITION OF executions DEFAULT WITH (autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL,
    visible_ms bigint NOT NULL,
    sent_ms bigint NOT NULL,
    receives integer NOT NULL DEFAULT 0,
    body text NOT NULL,
    execution_id text,
    reason text
) WITH (
    fillfactor = 60,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX messages_visible ON messages (queue, visible_ms);

CREATE TABLE leases (
    tenant text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    rev bigint NOT NULL,
    doc text NOT NULL,
    PRIMARY KEY (tenant, name)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- What is small, and is loaded and replaced as a whole.
CREATE TABLE documents (
    kind text COLLATE "C" NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    rev bigint NOT NULL,
    doc text NOT NULL,
    expires_s bigint,
    PRIMARY KEY (kind, tenant, name)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX documents_expire ON documents (expires_s) WHERE expires_s IS NOT NULL;

CREATE TABLE runs (
    tenant text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    rev bigint NOT NULL,
    started_ms bigint NOT NULL,
    workflow text NOT NULL,
    status text NOT NULL,
    listed boolean NOT NULL,
    wake_ms bigint,
    doc text NOT NULL,
    change bytea,
    PRIMARY KEY (tenant, id)
) WITH (fillfactor = 70);
CREATE INDEX runs_listed ON runs (tenant, started_ms, id) WHERE listed;
CREATE INDEX runs_wake ON runs (wake_ms, tenant, id) WHERE wake_ms IS NOT NULL;

CREATE TABLE run_events (
    tenant text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    doc text NOT NULL,
    PRIMARY KEY (tenant, run_id, number)
);

CREATE TABLE run_contents (
    tenant text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    packed bytea NOT NULL,
    expires_s bigint,
    PRIMARY KEY (tenant, run_id, name)
);
CREATE INDEX run_contents_expire ON run_contents (expires_s) WHERE expires_s IS NOT NULL;

CREATE TABLE run_slots (
    tenant text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    rev text NOT NULL,
    packed bytea NOT NULL,
    PRIMARY KEY (tenant, name)
) WITH (fillfactor = 50);

CREATE TABLE change_heads (
    tenant text COLLATE "C" PRIMARY KEY,
    rev bigint NOT NULL,
    doc text NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE change_segments (
    tenant text COLLATE "C" NOT NULL,
    last bigint NOT NULL,
    first bigint NOT NULL,
    written_ms bigint NOT NULL,
    packed bytea NOT NULL,
    expires_s bigint NOT NULL,
    PRIMARY KEY (tenant, last)
);
CREATE INDEX change_segments_expire ON change_segments (expires_s);

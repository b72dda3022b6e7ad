-- What was written, for the feed, in the transaction that wrote it. One reader takes rows away when it has done with
-- them. It reads only what no running transaction can still put something before: those below the snapshot's xmin.
CREATE TABLE written (
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq bigint GENERATED ALWAYS AS IDENTITY,
    source text NOT NULL,
    tenant text NOT NULL,
    id text NOT NULL,
    firing_ms bigint,
    manual boolean,
    at_ms bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    before text,
    after text,
    more text,
    packed_before bytea,
    packed bytea,
    PRIMARY KEY (xid, seq)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE FUNCTION note_new_executions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO written (source, tenant, id, firing_ms, manual, after)
    SELECT 'executions', tenant, schedule_id, firing_ms, manual, doc FROM after_rows;
    RETURN NULL;
END $$;
CREATE TRIGGER note_new AFTER INSERT ON executions REFERENCING NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_new_executions();

CREATE FUNCTION note_changed_executions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO written (source, tenant, id, firing_ms, manual, before, after)
    SELECT 'executions', a.tenant, a.schedule_id, a.firing_ms, a.manual, b.doc, a.doc
    FROM after_rows a JOIN before_rows b USING (tenant, schedule_id, firing_ms, manual);
    RETURN NULL;
END $$;
CREATE TRIGGER note_changed AFTER UPDATE ON executions REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_executions();

-- A notification wakes the reader, in the same transaction. Commits with one stand in line for each other, so firings
-- send none: the worker that wrote them wakes its own reader, and every reader looks by itself once a second.
-- A state says something new when its schedule is created, and when its last instant has passed.
CREATE FUNCTION note_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO written (source, tenant, id, before, after)
    VALUES ('state', NEW.tenant, NEW.id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.doc END, NEW.doc);
    PERFORM pg_notify(current_schema(), 'written');
    RETURN NULL;
END $$;
CREATE TRIGGER note_new AFTER INSERT ON states FOR EACH ROW EXECUTE FUNCTION note_state();
CREATE TRIGGER note_spent AFTER UPDATE ON states FOR EACH ROW
    WHEN (OLD.due_ms IS NOT NULL AND NEW.due_ms IS NULL) EXECUTE FUNCTION note_state();

CREATE FUNCTION note_definition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO written (source, tenant, id, before) VALUES ('definition', OLD.tenant, OLD.id, OLD.owner);
    ELSE
        INSERT INTO written (source, tenant, id, before, after, more)
        VALUES ('definition', NEW.tenant, NEW.id, OLD.owner, NEW.doc, NEW.payload);
    END IF;
    PERFORM pg_notify(current_schema(), 'written');
    RETURN NULL;
END $$;
CREATE TRIGGER note_change AFTER UPDATE OR DELETE ON definitions FOR EACH ROW EXECUTE FUNCTION note_definition();

-- A run says something new with its status, and its row has what.
CREATE FUNCTION note_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO written (source, tenant, id, packed_before, packed)
    VALUES ('run', NEW.tenant, NEW.id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.change END, NEW.change);
    RETURN NULL;
END $$;
CREATE TRIGGER note_new AFTER INSERT ON runs FOR EACH ROW WHEN (NEW.change IS NOT NULL) EXECUTE FUNCTION note_run();
CREATE TRIGGER note_change AFTER UPDATE ON runs FOR EACH ROW
    WHEN (NEW.change IS NOT NULL AND NEW.change IS DISTINCT FROM OLD.change) EXECUTE FUNCTION note_run();

-- Tenants that begin with # are the service's own: shards and nodes.
CREATE FUNCTION note_lease() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO written (source, tenant, id, after) VALUES ('lease', NEW.tenant, NEW.name, NEW.doc);
    RETURN NULL;
END $$;
CREATE TRIGGER note_lease AFTER INSERT OR UPDATE ON leases FOR EACH ROW
    WHEN (left(NEW.tenant, 1) <> '#') EXECUTE FUNCTION note_lease();

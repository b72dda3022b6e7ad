-- A statement that writes several rows, all or nothing, ends with this where a condition failed: what it wrote is undone.
CREATE FUNCTION refuse(sqlstate_of_refusal text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refused' USING ERRCODE = sqlstate_of_refusal;
END $$;

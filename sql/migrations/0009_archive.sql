-- Closed days move out of the database into Parquet files. `spans` and `log_records` become views over both, which are
-- made with the files they list (sql/archive.py); what is written goes to the live tables. Why: docs/upkeep.md.

ALTER TABLE spans RENAME TO live_spans;
ALTER TABLE log_records RENAME TO live_log_records;

-- The files that the views read, relative to the archive's folder; one for each table and day. The oldest normaliser is
-- that of the span whose canonical columns are the oldest.
CREATE TABLE archived_files (
    table_name VARCHAR NOT NULL,
    day DATE NOT NULL,
    file VARCHAR NOT NULL,
    rows BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    first_time TIMESTAMP_NS NOT NULL,
    last_time TIMESTAMP_NS NOT NULL,
    received_through TIMESTAMP NOT NULL,
    oldest_normalizer USMALLINT,
    schema_version INTEGER NOT NULL,
    has_content BOOLEAN NOT NULL DEFAULT TRUE,
    archived_at TIMESTAMP NOT NULL
);

-- Files that no view lists any more, kept for queries that began before.
CREATE TABLE replaced_files (
    file VARCHAR NOT NULL,
    replaced_at TIMESTAMP NOT NULL
);

-- OTLP log records have no id: what a record says is its identity.
CREATE MACRO log_identity(
    event_time, trace_id, span_id, event_name, severity_number, severity_text, body, attributes, scope_name,
    scope_version, resource_id
) AS md5(concat_ws(
    chr(31), event_time, coalesce(trace_id, ''), coalesce(span_id, ''), coalesce(event_name, ''), severity_number,
    coalesce(severity_text, ''), body, attributes, coalesce(scope_name, ''), coalesce(scope_version, ''), resource_id
));

-- OTLP log records have no id: what a record says is its identity.
MERGE INTO log_records AS stored
USING (
    SELECT
        md5(concat_ws(chr(31), event_time, coalesce(trace_id, ''), coalesce(span_id, ''), coalesce(event_name, ''),
            severity_number, coalesce(severity_text, ''), body, attributes, coalesce(scope_name, ''),
            coalesce(scope_version, ''), resource_id)) AS log_id,
        *
    FROM incoming
    QUALIFY row_number() OVER (PARTITION BY log_id) = 1
) AS incoming_log
ON stored.event_time = incoming_log.event_time AND stored.log_id = incoming_log.log_id
WHEN NOT MATCHED THEN INSERT BY NAME

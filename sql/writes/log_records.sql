MERGE INTO live_log_records AS stored
USING (
    SELECT
        log_identity(
            event_time, trace_id, span_id, event_name, severity_number, severity_text, body, attributes, scope_name,
            scope_version, resource_id
        ) AS log_id,
        *
    FROM incoming
    QUALIFY row_number() OVER (PARTITION BY log_id) = 1
) AS incoming_log
ON stored.event_time = incoming_log.event_time AND stored.log_id = incoming_log.log_id
WHEN NOT MATCHED THEN INSERT BY NAME

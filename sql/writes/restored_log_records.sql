-- Log records that an export brings back: they keep the time at which they were received, also in a lake.
INSERT INTO live_log_records BY NAME
FROM (
    SELECT
        log_identity(
            event_time, trace_id, span_id, event_name, severity_number, severity_text, body, attributes, scope_name,
            scope_version, resource_id
        ) AS log_id,
        *
    FROM incoming
) AS incoming_log ANTI JOIN live_log_records AS stored USING (event_time, log_id)

INSERT INTO live_log_records BY NAME
FROM (
    SELECT
        log_identity(
            event_time, trace_id, span_id, event_name, severity_number, severity_text, body, attributes, scope_name,
            scope_version, resource_id
        ) AS log_id,
        *
    FROM incoming
    QUALIFY row_number() OVER (PARTITION BY log_id) = 1
) AS incoming_log ANTI JOIN (
    SELECT event_time, log_id
    FROM live_log_records
    WHERE event_time >= make_timestamp_ns($first) AND event_time <= make_timestamp_ns($last)
) AS stored USING (event_time, log_id)

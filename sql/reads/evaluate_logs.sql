-- The log records of some traces that hold messages.
SELECT
    trace_id, span_id, event_name, attributes, body
FROM log_records
WHERE
    trace_id IN (SELECT unnest($trace_ids::VARCHAR[])) AND span_id IS NOT NULL
    AND event_name IN (SELECT unnest($event_names::VARCHAR[]))
    AND coalesce(strlen(attributes), 0) <= $most_bytes AND coalesce(strlen(body), 0) <= $most_bytes
ORDER BY trace_id, span_id, event_time

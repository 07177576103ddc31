-- The log records that hold messages of some spans, a bounded number of each.
SELECT trace_id, span_id, event_name, attributes, body
FROM log_records
WHERE
    (trace_id, span_id) IN (select(unnest($trace_ids::VARCHAR[]), unnest($span_ids::VARCHAR[])))
    AND event_name IN (SELECT unnest($event_names::VARCHAR[]))
    AND coalesce(strlen(attributes), 0) + coalesce(strlen(body), 0) <= $most_bytes::BIGINT
    AND event_time >= make_timestamp_ns($since_ns::BIGINT) AND event_time <= make_timestamp_ns($until_ns::BIGINT)
QUALIFY
    row_number() OVER (PARTITION BY trace_id, span_id ORDER BY event_time, log_id) <= $most_records::BIGINT
ORDER BY trace_id, span_id, event_time, log_id

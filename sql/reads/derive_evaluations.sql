-- What validators said of the calls of some traces; a result may name a span or a response alone. Nobody judges what is
-- still to come, but clocks differ.
SELECT event_time, trace_id, span_id, response_id, name, score, label, error_type, threshold, higher_is
FROM evaluations
WHERE
    event_time >= make_timestamp_ns($first::BIGINT) - to_seconds($spread_seconds::DOUBLE)
    AND coalesce(nullif(regexp_replace(lower(name), '[^\p{L}\p{N}]', '', 'g'), ''), name)
    IN (SELECT unnest($validators::VARCHAR[]))
    AND (trace_id IS NULL OR trace_id IN (SELECT unnest($trace_ids::VARCHAR[])))

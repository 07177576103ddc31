-- Rows of a day that arrived within some time, as far as content may be in them.
SELECT trace_id, span_id, start_time, attributes, events
FROM live_spans
WHERE
    start_time >= $since::TIMESTAMP
    AND start_time < $until::TIMESTAMP
    AND received_at > coalesce($received_after::TIMESTAMP, '1970-01-01'::TIMESTAMP)
    AND received_at <= $received_through::TIMESTAMP

-- Rows of a day that arrived within some time, as far as content may be in them.
SELECT log_id, event_time, event_name, body, attributes
FROM live_log_records
WHERE
    event_time >= $since::TIMESTAMP
    AND event_time < $until::TIMESTAMP
    AND received_at > coalesce($received_after::TIMESTAMP, '1970-01-01'::TIMESTAMP)
    AND received_at <= $received_through::TIMESTAMP

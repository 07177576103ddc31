-- On which day (UTC) each of some traces began, among the spans of a window.
SELECT trace_id, min(start_time)::DATE AS day
FROM spans
WHERE
    start_time >= $since::TIMESTAMP_NS AND start_time < $until::TIMESTAMP_NS
    AND trace_id IN (SELECT unnest($trace_ids::VARCHAR[]))
GROUP BY trace_id

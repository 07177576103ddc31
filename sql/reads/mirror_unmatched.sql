-- Pairs of requests whose trace is not stored, by the gateway's request id on a span or by the trace id itself.
WITH span_requests AS (
    SELECT DISTINCT json_extract_string(attributes, '/agentcc.request_id') AS request_id
    FROM spans
    WHERE start_time >= (SELECT min(created_at) FROM mirror_pairs) - INTERVAL 1 DAY
)
SELECT count(*) AS unmatched
FROM mirror_pairs
WHERE
    request_id NOT IN (SELECT request_id FROM span_requests WHERE request_id IS NOT NULL)
    AND lower(replace(request_id, '-', '')) NOT IN (SELECT trace_id FROM spans)

-- Traces without a root span by service: what began them is not traced, or its spans were lost.
WITH rootless AS (
    SELECT
        trace_id, arg_min(service_name, start_time) AS service_name, arg_min(name, start_time) AS first_span,
        min(start_time) AS start_time, count(*) AS spans, max(received_at) AS received_at
    FROM spans
    GROUP BY trace_id
    HAVING count(*) FILTER (WHERE parent_span_id IS NULL) = 0
)
SELECT
    service_name, first_span, count(*) AS traces, sum(spans) AS spans, min(start_time) AS first_seen,
    max(start_time) AS last_seen, max(received_at) AS last_received, arg_max(trace_id, start_time) AS last_trace
FROM rootless
GROUP BY ALL
ORDER BY traces DESC, service_name, first_span

-- The slowest twenty traces of the last stored day, with the models they called.
SELECT trace_id, start_time, round(latency_ms, 1) AS latency_ms, service_name, name, request_models, error_spans
FROM trace_totals
WHERE start_time >= (SELECT max(start_time) FROM spans) - INTERVAL 1 DAY
ORDER BY latency_ms DESC
LIMIT 20

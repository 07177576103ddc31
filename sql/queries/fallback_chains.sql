-- The newest fifty attempt chains that ended in a fallback: which model was left, which one answered, what it took.
SELECT
    start_time, trace_id, service_name, started_model, answered_model, attempts, retries, fallbacks, is_error,
    round(latency_ms, 1) AS latency_ms, cost_usd
FROM attempt_chains
WHERE fallbacks > 0
ORDER BY start_time DESC, trace_id, chain_id
LIMIT 50

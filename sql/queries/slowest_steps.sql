-- Where time goes below the root: every kind of step, the most time first; steps that hold others count theirs too.
SELECT
    service_name, coalesce(gen_ai_span_kind, kind) AS kind, name, count(*) AS steps,
    count(*) FILTER (WHERE status_code = 'ERROR') AS errors,
    round(quantile_cont(duration_ns / 1e6, 0.5), 1) AS p50_ms,
    round(quantile_cont(duration_ns / 1e6, 0.99), 1) AS p99_ms,
    round(sum(duration_ns) / 1e9, 1) AS seconds, arg_max(trace_id, duration_ns) AS slowest_trace
FROM spans
WHERE parent_span_id IS NOT NULL AND gen_ai_span_kind IS DISTINCT FROM 'EVALUATOR'
GROUP BY ALL
ORDER BY seconds DESC NULLS LAST, service_name, name
LIMIT 50

-- Traces, users and failures by day and cohort: the root's attribute that the newest promotion names, or app.cohort.
SELECT
    date_trunc('day', start_time) AS day,
    attributes ->> coalesce((SELECT arg_max(cohort_by, created_at) FROM promotions), 'app.cohort') AS cohort,
    count(*) AS traces, count(DISTINCT user_id) AS users, count(*) FILTER (WHERE status_code = 'ERROR') AS failed,
    round(quantile_cont(duration_ns / 1e6, 0.5), 1) AS p50_ms,
    round(quantile_cont(duration_ns / 1e6, 0.99), 1) AS p99_ms
FROM spans
WHERE parent_span_id IS NULL AND gen_ai_span_kind IS DISTINCT FROM 'EVALUATOR'
GROUP BY ALL
ORDER BY day, cohort

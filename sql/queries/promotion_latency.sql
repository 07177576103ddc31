-- Latency of each promotion's model calls by cohort and model, before and after it began; failed calls are left out.
WITH measured AS (
    SELECT
        promotions.name AS promotion, root.attributes ->> promotions.cohort_by AS cohort, calls.request_model,
        CASE WHEN calls.start_time < promotions.started_at THEN 'before' ELSE 'after' END AS period, calls.duration_ms
    FROM promotions
    INNER JOIN llm_calls AS calls
        ON
            calls.request_model IN (promotions.base, promotions.candidate)
            AND calls.start_time < coalesce(promotions.ended_at, 'infinity')
    LEFT JOIN spans AS root ON calls.trace_id = root.trace_id AND root.parent_span_id IS NULL
    WHERE calls.status_code <> 'ERROR'
)
SELECT
    promotion, cohort, request_model, period, count(*) AS calls,
    round(quantile_cont(duration_ms, 0.5), 1) AS p50_ms, round(quantile_cont(duration_ms, 0.99), 1) AS p99_ms
FROM measured
GROUP BY ALL
ORDER BY promotion, cohort, request_model, period DESC

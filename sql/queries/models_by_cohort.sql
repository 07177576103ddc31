-- Calls, tokens, errors and p99 by cohort and model, where the root span's attribute app.cohort is the cohort.
SELECT
    root.attributes ->> 'app.cohort' AS cohort, calls.request_model, count(*) AS calls,
    sum(calls.input_tokens) AS input_tokens, sum(calls.output_tokens) AS output_tokens,
    count(*) FILTER (WHERE calls.status_code = 'ERROR') AS errors,
    round(quantile_cont(calls.duration_ms, 0.99), 1) AS p99_ms
FROM llm_calls AS calls
INNER JOIN spans AS root ON calls.trace_id = root.trace_id AND root.parent_span_id IS NULL
GROUP BY ALL
ORDER BY cohort, calls.request_model

-- Calls, tokens, failures and latency of every model by day.
SELECT
    date_trunc('day', start_time) AS day, request_model, count(*) AS calls, sum(input_tokens) AS input_tokens,
    sum(output_tokens) AS output_tokens, count(*) FILTER (WHERE status_code = 'ERROR') AS errors,
    round(quantile_cont(duration_ms, 0.5), 1) AS p50_ms, round(quantile_cont(duration_ms, 0.99), 1) AS p99_ms
FROM llm_calls
GROUP BY ALL
ORDER BY day, request_model

-- Attempt chains that needed more than one attempt, by the model that started and the one that answered.
SELECT
    started_model, answered_model, count(*) AS chains, sum(retries) AS retries, sum(schema_repairs) AS schema_repairs,
    sum(fallbacks) AS fallbacks, count(*) FILTER (WHERE is_error) AS failed_at_last,
    round(quantile_cont(latency_ms, 0.5), 1) AS p50_ms, sum(priced_cost_usd) AS priced_cost_usd
FROM attempt_chains
WHERE attempts > 1
GROUP BY ALL
ORDER BY chains DESC, started_model, answered_model

-- Which part of the attempt chains needed more than one attempt, by day and model, and how many failed all the same.
SELECT
    date_trunc('day', start_time) AS day, started_model, count(*) AS chains,
    count(*) FILTER (WHERE attempts > 1) AS with_more_attempts,
    round(100 * with_more_attempts / chains, 1) AS percent,
    sum(retries) AS retries,
    sum(schema_repairs) AS schema_repairs,
    sum(fallbacks) AS fallbacks, count(*) FILTER (WHERE is_error) AS failed_at_last
FROM attempt_chains
GROUP BY ALL
ORDER BY day, started_model

-- What each model cost by day, and what part of its tokens has a price.
SELECT
    date_trunc('day', start_time) AS day, request_model, count(*) AS calls, sum(input_tokens) AS input_tokens,
    sum(output_tokens) AS output_tokens, sum(priced_cost_usd) AS priced_cost_usd,
    round(100 * sum(priced_tokens) / nullif(sum(priced_tokens + unpriced_tokens), 0), 1) AS priced_percent
FROM calls
WHERE is_counted
GROUP BY ALL
ORDER BY day, request_model

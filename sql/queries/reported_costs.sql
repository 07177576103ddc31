-- The cost that spans state themselves beside ours, by model; only calls that have both.
SELECT
    request_model, count(*) AS calls, sum(cost_usd)::DOUBLE AS cost_usd, sum(reported_cost_usd) AS reported_cost_usd,
    sum(reported_cost_usd) - sum(cost_usd)::DOUBLE AS difference_usd
FROM calls
WHERE is_counted AND cost_usd IS NOT NULL AND reported_cost_usd IS NOT NULL
GROUP BY request_model
ORDER BY abs(difference_usd) DESC, request_model

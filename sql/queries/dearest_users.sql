-- The twenty users whose traces cost most, and what part of all cost that is.
WITH users AS (
    SELECT trace_id, max(user_id) AS user_id
    FROM spans
    WHERE user_id IS NOT NULL
    GROUP BY trace_id
)
SELECT
    users.user_id, count(*) AS traces, sum(costs.calls) AS calls, sum(costs.input_tokens) AS input_tokens,
    sum(costs.output_tokens) AS output_tokens, round(sum(costs.priced_cost_usd), 6) AS priced_cost_usd,
    round(100 * (sum(costs.priced_cost_usd) / (SELECT sum(priced_cost_usd) FROM trace_costs))::DOUBLE, 2)
        AS percent_of_all,
    sum(costs.unpriced_tokens) AS unpriced_tokens
FROM users
INNER JOIN trace_costs AS costs ON users.trace_id = costs.trace_id
GROUP BY users.user_id
ORDER BY priced_cost_usd DESC NULLS LAST, unpriced_tokens DESC, users.user_id
LIMIT 20

-- Cost per trace by first model and cohort: the root's attribute that the newest promotion names, or app.cohort.
WITH cohorts AS (
    SELECT
        trace_id,
        attributes ->> coalesce((SELECT arg_max(cohort_by, created_at) FROM promotions), 'app.cohort') AS cohort
    FROM spans
    WHERE parent_span_id IS NULL
),
models AS (
    SELECT trace_id, arg_min(coalesce(request_model, response_model), start_time) AS first_model
    FROM calls
    WHERE is_call
    GROUP BY trace_id
)
SELECT
    cohorts.cohort, models.first_model, count(*) AS traces,
    count(*) FILTER (WHERE costs.cost_usd IS NULL) AS traces_without_cost,
    round(avg(costs.cost_usd), 6) AS mean_cost_usd,
    round(quantile_cont(costs.cost_usd, 0.99)::DOUBLE, 6) AS p99_cost_usd,
    round(sum(costs.priced_cost_usd), 4) AS priced_cost_usd
FROM trace_costs AS costs
INNER JOIN models ON costs.trace_id = models.trace_id
LEFT JOIN cohorts ON costs.trace_id = cohorts.trace_id
GROUP BY ALL
ORDER BY cohorts.cohort, models.first_model

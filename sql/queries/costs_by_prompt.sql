-- What a trace with each prompt version takes by first model: tokens, cost, latency.
WITH prompts AS (
    SELECT DISTINCT trace_id, prompt_name, prompt_version
    FROM spans
    WHERE prompt_name IS NOT NULL OR prompt_version IS NOT NULL
),
models AS (
    SELECT trace_id, arg_min(coalesce(request_model, response_model), start_time) AS first_model
    FROM calls
    WHERE is_call
    GROUP BY trace_id
)
SELECT
    prompts.prompt_name, prompts.prompt_version, models.first_model, count(*) AS traces,
    round(avg(costs.input_tokens), 1) AS mean_input_tokens, round(avg(costs.output_tokens), 1) AS mean_output_tokens,
    round(avg(costs.cost_usd), 6) AS mean_cost_usd, round(quantile_cont(totals.latency_ms, 0.5), 1) AS p50_ms,
    min(costs.start_time) AS first_seen, max(costs.start_time) AS last_seen
FROM prompts
INNER JOIN trace_costs AS costs ON prompts.trace_id = costs.trace_id
INNER JOIN models ON prompts.trace_id = models.trace_id
INNER JOIN trace_totals AS totals ON prompts.trace_id = totals.trace_id
GROUP BY ALL
ORDER BY prompts.prompt_name, prompts.prompt_version, models.first_model

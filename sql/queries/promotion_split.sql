-- Which part of the traces each promotion's candidate got by day, beside the part meant for it at the end of that day.
WITH served AS (
    SELECT
        promotions.name AS promotion, promotions.candidate, calls.trace_id,
        date_trunc('day', min(calls.start_time)) AS day,
        arg_min(calls.request_model, calls.start_time) AS first_model
    FROM promotions
    INNER JOIN llm_calls AS calls
        ON
            calls.request_model IN (promotions.base, promotions.candidate)
            AND calls.start_time >= promotions.started_at
            AND calls.start_time < coalesce(promotions.ended_at, 'infinity')
    GROUP BY ALL
),
by_day AS (
    SELECT
        promotion, day, count(*) FILTER (WHERE first_model <> candidate) AS base_traces,
        count(*) FILTER (WHERE first_model = candidate) AS candidate_traces
    FROM served
    GROUP BY promotion, day
),
meant AS (
    SELECT name AS promotion, started_at AS since, candidate_share FROM promotions
    UNION ALL
    SELECT promotion, since, candidate_share FROM promotion_shares
)
SELECT
    by_day.promotion, by_day.day, by_day.base_traces, by_day.candidate_traces,
    round(100 * by_day.candidate_traces / (by_day.base_traces + by_day.candidate_traces), 1) AS candidate_percent,
    round(100 * arg_max(meant.candidate_share, meant.since), 1) AS meant_percent
FROM by_day
INNER JOIN meant ON by_day.promotion = meant.promotion AND meant.since < by_day.day + INTERVAL 1 DAY
GROUP BY by_day.promotion, by_day.day, by_day.base_traces, by_day.candidate_traces
ORDER BY by_day.promotion, by_day.day

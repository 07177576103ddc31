-- What each trace with a model call cost, and what part of its tokens has a price; unknown cost is NULL.
CREATE OR REPLACE VIEW trace_costs AS
SELECT
    trace_id,
    min(start_time) AS start_time,
    count(*) FILTER (WHERE is_call) AS calls,
    count(*) FILTER (WHERE is_counted) AS counted,
    CASE
        WHEN count(*) FILTER (WHERE is_counted AND input_tokens IS NULL) = 0
            THEN coalesce(sum(input_tokens) FILTER (WHERE is_counted), 0)::BIGINT
    END AS input_tokens,
    CASE
        WHEN count(*) FILTER (WHERE is_counted AND output_tokens IS NULL) = 0
            THEN coalesce(sum(output_tokens) FILTER (WHERE is_counted), 0)::BIGINT
    END AS output_tokens,
    CASE
        WHEN count(*) FILTER (WHERE is_counted AND cost_usd IS NULL) = 0
            THEN coalesce(sum(cost_usd) FILTER (WHERE is_counted), 0)
    END AS cost_usd,
    sum(priced_cost_usd) FILTER (WHERE is_counted) AS priced_cost_usd,
    coalesce(sum(priced_tokens) FILTER (WHERE is_counted), 0)::BIGINT AS priced_tokens,
    coalesce(sum(unpriced_tokens) FILTER (WHERE is_counted), 0)::BIGINT AS unpriced_tokens,
    sum(reported_cost_usd) FILTER (WHERE is_counted) AS reported_cost_usd,
    -- Of calls that have both costs.
    sum(reported_cost_usd - cost_usd) FILTER (WHERE is_counted AND price_source IS DISTINCT FROM 'reported')
        AS reported_difference_usd
FROM calls
GROUP BY trace_id;

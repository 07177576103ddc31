-- One row per counted call: what it cost beside what its span said it cost.
CREATE OR REPLACE VIEW call_costs AS
SELECT
    trace_id, span_id, start_time, provider, request_model, response_model, cost_usd, priced_cost_usd, priced_tokens,
    unpriced_tokens, price_source, price_name, reported_cost_usd,
    CASE
        WHEN (price_source IS DISTINCT FROM 'reported') THEN reported_cost_usd - cost_usd
    END AS reported_difference_usd
FROM calls
WHERE is_counted;

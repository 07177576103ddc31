-- One row per attempt chain: the calls that served one step, its retries, repairs and fallbacks among them.
CREATE OR REPLACE VIEW attempt_chains AS
SELECT
    trace_id,
    chain_id,
    min(start_time) AS start_time,
    max(end_time) AS end_time,
    (epoch_ns(max(end_time)) - epoch_ns(min(start_time))) / 1e6 AS latency_ms,
    any_value(service_name) AS service_name,
    arg_min(request_model, attempt) AS started_model,
    arg_max(coalesce(response_model, request_model), attempt) AS answered_model,
    sum(1 + hidden_attempts)::BIGINT AS attempts,
    (count(*) FILTER (WHERE reason = 'retry') + sum(hidden_attempts))::BIGINT AS retries,
    count(*) FILTER (WHERE reason = 'schema_repair') AS schema_repairs,
    (count(*) FILTER (WHERE reason = 'fallback') + count(*) FILTER (WHERE hidden_fallback)) AS fallbacks,
    bool_or(is_last AND is_error) AS is_error,
    sum(input_tokens) FILTER (WHERE is_counted)::BIGINT AS input_tokens,
    sum(output_tokens) FILTER (WHERE is_counted)::BIGINT AS output_tokens,
    CASE WHEN count(*) FILTER (WHERE is_counted AND cost_usd IS NULL) = 0
        THEN coalesce(sum(cost_usd) FILTER (WHERE is_counted), 0) END AS cost_usd,
    sum(priced_cost_usd) FILTER (WHERE is_counted) AS priced_cost_usd,
    coalesce(sum(priced_tokens) FILTER (WHERE is_counted), 0)::BIGINT AS priced_tokens,
    coalesce(sum(unpriced_tokens) FILTER (WHERE is_counted), 0)::BIGINT AS unpriced_tokens
FROM calls
WHERE chain_id IS NOT NULL
GROUP BY trace_id, chain_id;

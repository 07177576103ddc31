-- One row per attempt chain: the calls that served one step, its retries, repairs and fallbacks among them.
CREATE OR REPLACE VIEW attempt_chains AS
WITH folded AS (
    SELECT
        trace_id,
        chain_id,
        first(step_id ORDER BY place) AS step_id,
        first(service_name ORDER BY place) AS service_name,
        first(gen_ai_span_kind ORDER BY place) AS gen_ai_span_kind,
        first(coalesce(request_model, response_model) ORDER BY place) AS started_model,
        last(
            CASE
                WHEN hidden_fallback THEN coalesce(response_model, request_model)
                ELSE coalesce(request_model, response_model)
            END
            ORDER BY place
        ) FILTER (WHERE is_last) AS answered_model,
        CASE WHEN bool_or(is_call) THEN (count(*) FILTER (WHERE is_call) + sum(hidden_attempts))::BIGINT END
            AS attempts,
        (
            count(*) FILTER (WHERE reason = 'retry') + sum(hidden_attempts) - count(*) FILTER (WHERE hidden_fallback)
        )::BIGINT
            AS retries,
        count(*) FILTER (WHERE reason = 'schema_repair') AS schema_repairs,
        count(*) FILTER (WHERE reason = 'fallback') + count(*) FILTER (WHERE hidden_fallback) AS fallbacks,
        min(coalesce(wrapper_start_time, start_time)) AS start_time,
        max(coalesce(wrapper_end_time, end_time)) AS end_time,
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
        bool_or(is_last AND is_error) AS is_error,
        bool_or(is_last AND (is_error OR failed_validation OR answer_failed)) AS is_unsound
    FROM (
        SELECT
            *,
            row_number()
                OVER (PARTITION BY trace_id, chain_id ORDER BY NOT is_call, attempt, start_time, span_id)
                AS place
        FROM calls
        WHERE chain_id IS NOT NULL
    )
    GROUP BY trace_id, chain_id
)
SELECT
    * EXCLUDE (is_unsound) REPLACE (CASE WHEN NOT is_error THEN answered_model END AS answered_model),
    CASE WHEN end_time >= start_time THEN (epoch_ns(end_time) - epoch_ns(start_time)) / 1e6 END AS latency_ms,
    coalesce(attempts > 1, FALSE) AND NOT is_unsound AS is_rescued
FROM folded;

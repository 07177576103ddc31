-- What pricing needs of each call that began in a window: as derived, each once, or straight from the span where a
-- trace's calls have not been derived yet. A day to either side is where the rest of such a trace is.
WITH derived AS (
    SELECT * FROM calls
    WHERE start_time >= $since::TIMESTAMP_NS - INTERVAL 1 DAY AND start_time < $until::TIMESTAMP_NS + INTERVAL 1 DAY
),
reported AS (
    SELECT * FROM spans
    WHERE start_time >= $since::TIMESTAMP_NS - INTERVAL 1 DAY AND start_time < $until::TIMESTAMP_NS + INTERVAL 1 DAY
)
SELECT
    derived.provider, derived.request_model, derived.response_model, reported.server_address, reported.service_tier,
    derived.start_time, derived.input_tokens, derived.output_tokens, derived.cache_read_tokens,
    derived.cache_write_tokens, reported.cache_write_1h_tokens, derived.reasoning_tokens, reported.input_audio_tokens,
    reported.output_audio_tokens, reported.cache_audio_read_tokens, reported.gateway_cache_hit,
    derived.reported_cost_usd, derived.cost_usd AS former_cost_usd
FROM derived INNER JOIN reported USING (trace_id, span_id)
WHERE
    derived.is_counted
    AND ($model::VARCHAR IS NULL OR derived.request_model = $model OR derived.response_model = $model)
    AND derived.start_time >= $since::TIMESTAMP_NS AND derived.start_time < $until::TIMESTAMP_NS
UNION ALL
SELECT
    provider, request_model, response_model, server_address, service_tier, start_time, input_tokens,
    CASE
        WHEN gen_ai_span_kind = 'EMBEDDING' AND input_tokens IS NOT NULL THEN coalesce(output_tokens, 0)
        ELSE output_tokens
    END AS output_tokens,
    cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, input_audio_tokens,
    output_audio_tokens, cache_audio_read_tokens, gateway_cache_hit, reported_cost_usd,
    NULL::DECIMAL(18, 12) AS former_cost_usd
FROM reported ANTI JOIN derived USING (trace_id)
WHERE
    gen_ai_span_kind IN ('LLM', 'EMBEDDING')
    AND (status_code IS DISTINCT FROM 'ERROR' OR input_tokens IS NOT NULL OR output_tokens IS NOT NULL)
    AND ($model::VARCHAR IS NULL OR request_model = $model OR response_model = $model)
    AND start_time >= $since::TIMESTAMP_NS AND start_time < $until::TIMESTAMP_NS

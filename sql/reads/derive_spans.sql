-- Every span of some traces, as far as finding, pricing and chaining their calls needs it.
SELECT
    trace_id, span_id, parent_span_id, name, start_time, end_time, status_code, service_name, scope_name, scope_version,
    gen_ai_span_kind, provider, request_model, response_model, response_id, input_tokens, output_tokens,
    cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, input_audio_tokens,
    output_audio_tokens, cache_audio_read_tokens, token_rule, token_conflict, service_tier, server_address,
    finish_reasons, max_tokens, time_to_first_token_ms, error_type, guardrail_result, reported_cost_usd,
    attempt_group, gateway_attempts, gateway_fallback, gateway_cache_hit,
    json_extract_string(attributes, $chain_paths::VARCHAR[]) AS chain_attributes
FROM spans
WHERE
    start_time BETWEEN make_timestamp_ns($first::BIGINT) AND make_timestamp_ns($last::BIGINT)
    AND trace_id IN (SELECT unnest($trace_ids::VARCHAR[]))

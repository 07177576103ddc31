-- Every span that began in a report's window, with the two attributes that promotion and configuration name.
SELECT
    trace_id, span_id, parent_span_id, start_time, end_time, status_code, service_name, scope_name, scope_version,
    gen_ai_span_kind, provider, request_model, response_model, response_id, input_tokens, output_tokens,
    cache_read_tokens, cache_write_tokens, reasoning_tokens, cache_write_1h_tokens, input_audio_tokens,
    output_audio_tokens, cache_audio_read_tokens, service_tier, server_address, gateway_cache_hit, token_rule,
    time_to_first_token_ms, conversation_id, user_id, prompt_name, prompt_version, error_type, reported_cost_usd,
    dropped_attributes_count, resource_id,
    json_extract_string(attributes, $cohort_path) AS cohort_value,
    json_extract_string(attributes, $key_path) AS key_value
FROM spans
WHERE start_time >= $since::TIMESTAMP_NS AND start_time < $until::TIMESTAMP_NS

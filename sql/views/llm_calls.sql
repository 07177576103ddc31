-- One row per model call (LLM or EMBEDDING span), newest conventions and old ones alike.
CREATE OR REPLACE VIEW llm_calls AS
SELECT
    trace_id, span_id, parent_span_id, start_time, duration_ns / 1e6 AS duration_ms, service_name, operation, provider,
    request_model, response_model, response_id, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
    cache_write_1h_tokens,
    reasoning_tokens,
    input_audio_tokens,
    output_audio_tokens,
    cache_audio_read_tokens,
    token_rule,
    token_conflict, reported_total_tokens, reported_cost_usd, service_tier, temperature, top_p, max_tokens, seed,
    reasoning_effort,
    is_streaming,
    server_address,
    finish_reasons,
    time_to_first_token_ms,
    conversation_id,
    user_id,
    prompt_name,
    prompt_version, status_code, error_type, scope_name, scope_version, attributes
FROM spans
WHERE gen_ai_span_kind IN ('LLM', 'EMBEDDING');

-- One row per model call (LLM or EMBEDDING span), newest conventions and old ones alike.
CREATE OR REPLACE VIEW llm_calls AS
SELECT
    trace_id, span_id, parent_span_id, start_time, duration_ns / 1e6 AS duration_ms, service_name, operation, provider,
    request_model, response_model, response_id, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
    reasoning_tokens, token_rule, finish_reasons, time_to_first_token_ms, conversation_id, user_id, prompt_name,
    prompt_version, status_code, error_type, scope_name, scope_version, attributes
FROM spans
WHERE gen_ai_span_kind IN ('LLM', 'EMBEDDING');

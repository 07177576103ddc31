-- Canonical columns of stored spans, made anew by another version of the normaliser. The calls of traces in which one
-- changed are derived anew.
INSERT INTO stale_traces BY NAME
SELECT DISTINCT incoming.trace_id, (now() AT TIME ZONE 'UTC')::TIMESTAMP AS marked_at
FROM incoming INNER JOIN live_spans
    ON
        live_spans.start_time = incoming.start_time
        AND live_spans.span_id = incoming.span_id
        AND live_spans.trace_id = incoming.trace_id
WHERE
    live_spans.gen_ai_span_kind IS DISTINCT FROM incoming.gen_ai_span_kind
    OR live_spans.operation IS DISTINCT FROM incoming.operation
    OR live_spans.provider IS DISTINCT FROM incoming.provider
    OR live_spans.request_model IS DISTINCT FROM incoming.request_model
    OR live_spans.response_model IS DISTINCT FROM incoming.response_model
    OR live_spans.response_id IS DISTINCT FROM incoming.response_id
    OR live_spans.input_tokens IS DISTINCT FROM incoming.input_tokens
    OR live_spans.output_tokens IS DISTINCT FROM incoming.output_tokens
    OR live_spans.cache_read_tokens IS DISTINCT FROM incoming.cache_read_tokens
    OR live_spans.cache_write_tokens IS DISTINCT FROM incoming.cache_write_tokens
    OR live_spans.reasoning_tokens IS DISTINCT FROM incoming.reasoning_tokens
    OR live_spans.token_rule IS DISTINCT FROM incoming.token_rule
    OR live_spans.time_to_first_token_ms IS DISTINCT FROM incoming.time_to_first_token_ms
    OR live_spans.conversation_id IS DISTINCT FROM incoming.conversation_id
    OR live_spans.user_id IS DISTINCT FROM incoming.user_id
    OR live_spans.prompt_name IS DISTINCT FROM incoming.prompt_name
    OR live_spans.prompt_version IS DISTINCT FROM incoming.prompt_version
    OR live_spans.tool_name IS DISTINCT FROM incoming.tool_name
    OR live_spans.agent_name IS DISTINCT FROM incoming.agent_name
    OR live_spans.error_type IS DISTINCT FROM incoming.error_type
    OR live_spans.reported_cost_usd IS DISTINCT FROM incoming.reported_cost_usd
    OR live_spans.reported_total_tokens IS DISTINCT FROM incoming.reported_total_tokens
    OR live_spans.cache_write_1h_tokens IS DISTINCT FROM incoming.cache_write_1h_tokens
    OR live_spans.input_audio_tokens IS DISTINCT FROM incoming.input_audio_tokens
    OR live_spans.output_audio_tokens IS DISTINCT FROM incoming.output_audio_tokens
    OR live_spans.cache_audio_read_tokens IS DISTINCT FROM incoming.cache_audio_read_tokens
    OR live_spans.token_conflict IS DISTINCT FROM incoming.token_conflict
    OR live_spans.service_tier IS DISTINCT FROM incoming.service_tier
    OR live_spans.temperature IS DISTINCT FROM incoming.temperature
    OR live_spans.top_p IS DISTINCT FROM incoming.top_p
    OR live_spans.max_tokens IS DISTINCT FROM incoming.max_tokens
    OR live_spans.seed IS DISTINCT FROM incoming.seed
    OR live_spans.reasoning_effort IS DISTINCT FROM incoming.reasoning_effort
    OR live_spans.is_streaming IS DISTINCT FROM incoming.is_streaming
    OR live_spans.server_address IS DISTINCT FROM incoming.server_address
    OR live_spans.server_port IS DISTINCT FROM incoming.server_port
    OR live_spans.tool_call_id IS DISTINCT FROM incoming.tool_call_id
    OR live_spans.tool_type IS DISTINCT FROM incoming.tool_type
    OR live_spans.agent_id IS DISTINCT FROM incoming.agent_id
    OR live_spans.agent_version IS DISTINCT FROM incoming.agent_version
    OR live_spans.workflow_name IS DISTINCT FROM incoming.workflow_name
    OR live_spans.guardrail_name IS DISTINCT FROM incoming.guardrail_name
    OR live_spans.guardrail_result IS DISTINCT FROM incoming.guardrail_result
    OR live_spans.is_simulated IS DISTINCT FROM incoming.is_simulated
    OR live_spans.attempt_group IS DISTINCT FROM incoming.attempt_group
    OR live_spans.gateway_attempts IS DISTINCT FROM incoming.gateway_attempts
    OR live_spans.gateway_fallback IS DISTINCT FROM incoming.gateway_fallback
    OR live_spans.gateway_cache_hit IS DISTINCT FROM incoming.gateway_cache_hit
    OR live_spans.finish_reasons IS DISTINCT FROM incoming.finish_reasons;

-- DuckDB moves a row whose list is updated, so a list is written only where it changed.
UPDATE live_spans SET finish_reasons = incoming.finish_reasons
FROM incoming
WHERE
    live_spans.start_time = incoming.start_time
    AND live_spans.span_id = incoming.span_id
    AND live_spans.trace_id = incoming.trace_id
    AND live_spans.finish_reasons IS DISTINCT FROM incoming.finish_reasons;

UPDATE live_spans SET
    gen_ai_span_kind = incoming.gen_ai_span_kind,
    operation = incoming.operation,
    provider = incoming.provider,
    request_model = incoming.request_model,
    response_model = incoming.response_model,
    response_id = incoming.response_id,
    input_tokens = incoming.input_tokens,
    output_tokens = incoming.output_tokens,
    cache_read_tokens = incoming.cache_read_tokens,
    cache_write_tokens = incoming.cache_write_tokens,
    reasoning_tokens = incoming.reasoning_tokens,
    token_rule = incoming.token_rule,
    time_to_first_token_ms = incoming.time_to_first_token_ms,
    conversation_id = incoming.conversation_id,
    user_id = incoming.user_id,
    prompt_name = incoming.prompt_name,
    prompt_version = incoming.prompt_version,
    tool_name = incoming.tool_name,
    agent_name = incoming.agent_name,
    error_type = incoming.error_type,
    reported_cost_usd = incoming.reported_cost_usd,
    normalizer_version = incoming.normalizer_version,
    reported_total_tokens = incoming.reported_total_tokens,
    cache_write_1h_tokens = incoming.cache_write_1h_tokens,
    input_audio_tokens = incoming.input_audio_tokens,
    output_audio_tokens = incoming.output_audio_tokens,
    cache_audio_read_tokens = incoming.cache_audio_read_tokens,
    token_conflict = incoming.token_conflict,
    service_tier = incoming.service_tier,
    temperature = incoming.temperature,
    top_p = incoming.top_p,
    max_tokens = incoming.max_tokens,
    seed = incoming.seed,
    reasoning_effort = incoming.reasoning_effort,
    is_streaming = incoming.is_streaming,
    server_address = incoming.server_address,
    server_port = incoming.server_port,
    tool_call_id = incoming.tool_call_id,
    tool_type = incoming.tool_type,
    agent_id = incoming.agent_id,
    agent_version = incoming.agent_version,
    workflow_name = incoming.workflow_name,
    guardrail_name = incoming.guardrail_name,
    guardrail_result = incoming.guardrail_result,
    is_simulated = incoming.is_simulated,
    attempt_group = incoming.attempt_group,
    gateway_attempts = incoming.gateway_attempts,
    gateway_fallback = incoming.gateway_fallback,
    gateway_cache_hit = incoming.gateway_cache_hit
FROM incoming
WHERE
    live_spans.start_time = incoming.start_time
    AND live_spans.span_id = incoming.span_id
    AND live_spans.trace_id = incoming.trace_id

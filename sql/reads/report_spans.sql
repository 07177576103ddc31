-- Every span of the traces that began in a part of a report's window, with the attributes that promotion and
-- configuration name, trace by trace. Of the spans from $since to $until those belong to the part that begin before
-- $part_until, or are of traces that go on after it ($crossing), but not of those that began before it ($elsewhere).
-- Traces that a simulator made are left out unless asked for: they are not what users met. So are traces that begin
-- with an evaluator's span which links what it judges in another: their calls are a judge's, and its model may be one
-- that is compared. Of the traces those of one part of $slices; or, where $chosen is given, those alone.
WITH part AS NOT MATERIALIZED (
    SELECT *
    FROM spans
    WHERE
        start_time >= $since::TIMESTAMP_NS AND start_time < $until::TIMESTAMP_NS
        AND (start_time < $part_until::TIMESTAMP_NS OR trace_id IN (SELECT unnest($crossing::VARCHAR[])))
        AND trace_id NOT IN (SELECT unnest($elsewhere::VARCHAR[]))
        AND hash(trace_id) % $slices::UBIGINT = $slice::UBIGINT
        AND ($chosen::VARCHAR[] IS NULL OR trace_id IN (SELECT unnest($chosen::VARCHAR[])))
),
left_out AS (
    SELECT DISTINCT trace_id
    FROM part
    WHERE
        (is_simulated AND NOT $simulated::BOOLEAN)
        OR (
            gen_ai_span_kind = 'EVALUATOR' AND parent_span_id IS NULL
            AND json_extract_string(links, '$[0].trace_id') <> trace_id
        )
)
SELECT
    trace_id, span_id, parent_span_id, name, start_time, end_time, status_code, service_name, scope_name, scope_version,
    gen_ai_span_kind, provider, request_model, response_model, response_id, input_tokens, output_tokens,
    cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, input_audio_tokens,
    output_audio_tokens, cache_audio_read_tokens, token_rule, token_conflict, service_tier, server_address,
    finish_reasons, max_tokens, time_to_first_token_ms, conversation_id, user_id, prompt_name, prompt_version,
    error_type, guardrail_result, reported_cost_usd, attempt_group, gateway_attempts, gateway_fallback,
    gateway_cache_hit, tool_name, agent_name, dropped_attributes_count, resource_id,
    -- How many documents a retrieval tells of: in one JSON list, else in flat names that number them. None told is
    -- NULL.
    CASE WHEN gen_ai_span_kind IN ('RETRIEVER', 'RERANKER') THEN coalesce(
        len(try_cast(json_extract_string(attributes, '/gen_ai.retrieval.documents') AS JSON[])),
        nullif(list_unique([
            regexp_extract(key, 'documents\.(\d+)\.', 1) FOR key IN json_keys(attributes)
            IF regexp_matches(key, '^(retrieval|reranker)\.(output_)?documents\.\d+\.')
        ]), 0)
    ) END::BIGINT AS documents,
    json_extract_string(attributes, $cohort_path) AS cohort_value,
    json_extract_string(attributes, $key_path) AS key_value,
    json_extract_string(attributes, $chain_paths::VARCHAR[]) AS chain_attributes,
    json_extract_string(attributes, $strata_paths::VARCHAR[]) AS stratum_values
FROM part ANTI JOIN left_out USING (trace_id)
ORDER BY trace_id, start_time, span_id, end_time

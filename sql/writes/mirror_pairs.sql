-- A pair is known by its request, its experiment and the shadow's model; a changed one replaces.
MERGE INTO mirror_pairs AS stored
USING incoming
ON stored.request_id = incoming.request_id
    AND stored.shadow_model = incoming.shadow_model
    AND stored.experiment_id IS NOT DISTINCT FROM incoming.experiment_id
WHEN MATCHED AND (
    stored.created_at IS DISTINCT FROM incoming.created_at
    OR stored.source_model IS DISTINCT FROM incoming.source_model
    OR stored.source_latency_ms IS DISTINCT FROM incoming.source_latency_ms
    OR stored.shadow_latency_ms IS DISTINCT FROM incoming.shadow_latency_ms
    OR stored.source_status_code IS DISTINCT FROM incoming.source_status_code
    OR stored.shadow_status_code IS DISTINCT FROM incoming.shadow_status_code
    OR stored.source_input_tokens IS DISTINCT FROM incoming.source_input_tokens
    OR stored.source_output_tokens IS DISTINCT FROM incoming.source_output_tokens
    OR stored.source_total_tokens IS DISTINCT FROM incoming.source_total_tokens
    OR stored.shadow_input_tokens IS DISTINCT FROM incoming.shadow_input_tokens
    OR stored.shadow_output_tokens IS DISTINCT FROM incoming.shadow_output_tokens
    OR stored.shadow_total_tokens IS DISTINCT FROM incoming.shadow_total_tokens
    OR stored.shadow_error IS DISTINCT FROM incoming.shadow_error
    OR stored.prompt_hash IS DISTINCT FROM incoming.prompt_hash
    OR stored.attributes::VARCHAR IS DISTINCT FROM incoming.attributes
) THEN UPDATE SET
    created_at = incoming.created_at,
    source_model = incoming.source_model,
    source_latency_ms = incoming.source_latency_ms,
    shadow_latency_ms = incoming.shadow_latency_ms,
    source_status_code = incoming.source_status_code,
    shadow_status_code = incoming.shadow_status_code,
    source_input_tokens = incoming.source_input_tokens,
    source_output_tokens = incoming.source_output_tokens,
    source_total_tokens = incoming.source_total_tokens,
    shadow_input_tokens = incoming.shadow_input_tokens,
    shadow_output_tokens = incoming.shadow_output_tokens,
    shadow_total_tokens = incoming.shadow_total_tokens,
    shadow_error = incoming.shadow_error,
    prompt_hash = incoming.prompt_hash,
    attributes = incoming.attributes,
    received_at = incoming.received_at
WHEN NOT MATCHED THEN INSERT BY NAME

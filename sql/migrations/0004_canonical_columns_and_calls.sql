-- More of what a span tells in canonical columns, the version of the normaliser that wrote them, and what is derived from
-- spans: model calls, each once, with their attempt chain and cost. Why: docs/data-model.md.

ALTER TABLE spans ADD COLUMN normalizer_version USMALLINT;
ALTER TABLE spans ADD COLUMN reported_total_tokens BIGINT;
ALTER TABLE spans ADD COLUMN cache_write_1h_tokens BIGINT;
ALTER TABLE spans ADD COLUMN input_audio_tokens BIGINT;
ALTER TABLE spans ADD COLUMN output_audio_tokens BIGINT;
ALTER TABLE spans ADD COLUMN cache_audio_read_tokens BIGINT;
ALTER TABLE spans ADD COLUMN token_conflict VARCHAR;
ALTER TABLE spans ADD COLUMN service_tier VARCHAR;
ALTER TABLE spans ADD COLUMN temperature DOUBLE;
ALTER TABLE spans ADD COLUMN top_p DOUBLE;
ALTER TABLE spans ADD COLUMN max_tokens BIGINT;
ALTER TABLE spans ADD COLUMN seed BIGINT;
ALTER TABLE spans ADD COLUMN reasoning_effort VARCHAR;
ALTER TABLE spans ADD COLUMN is_streaming BOOLEAN;
ALTER TABLE spans ADD COLUMN server_address VARCHAR;
ALTER TABLE spans ADD COLUMN server_port BIGINT;
ALTER TABLE spans ADD COLUMN tool_call_id VARCHAR;
ALTER TABLE spans ADD COLUMN tool_type VARCHAR;
ALTER TABLE spans ADD COLUMN agent_id VARCHAR;
ALTER TABLE spans ADD COLUMN agent_version VARCHAR;
ALTER TABLE spans ADD COLUMN workflow_name VARCHAR;
ALTER TABLE spans ADD COLUMN guardrail_name VARCHAR;
ALTER TABLE spans ADD COLUMN guardrail_result VARCHAR;
ALTER TABLE spans ADD COLUMN is_simulated BOOLEAN;
ALTER TABLE spans ADD COLUMN attempt_group VARCHAR;
ALTER TABLE spans ADD COLUMN gateway_attempts BIGINT;
ALTER TABLE spans ADD COLUMN gateway_fallback BOOLEAN;
ALTER TABLE spans ADD COLUMN gateway_cache_hit BOOLEAN;

CREATE TABLE calls (
    trace_id VARCHAR NOT NULL,
    span_id VARCHAR NOT NULL,
    start_time TIMESTAMP_NS NOT NULL,
    end_time TIMESTAMP_NS NOT NULL,
    service_name VARCHAR,
    gen_ai_span_kind VARCHAR,
    provider VARCHAR,
    request_model VARCHAR,
    response_model VARCHAR,
    is_call BOOLEAN NOT NULL,
    is_counted BOOLEAN NOT NULL,
    not_counted_because VARCHAR,
    is_error BOOLEAN NOT NULL,
    error_type VARCHAR,
    failed_validation BOOLEAN NOT NULL,
    chain_id VARCHAR,
    attempt BIGINT,
    reason VARCHAR,
    is_last BOOLEAN NOT NULL,
    hidden_attempts BIGINT NOT NULL,
    hidden_fallback BOOLEAN NOT NULL,
    answer_failed BOOLEAN NOT NULL,
    step_id VARCHAR,
    wrapper_start_time TIMESTAMP_NS,
    wrapper_end_time TIMESTAMP_NS,
    input_tokens BIGINT,
    output_tokens BIGINT,
    unseen_input_tokens BIGINT,
    unseen_output_tokens BIGINT,
    cache_read_tokens BIGINT,
    cache_write_tokens BIGINT,
    reasoning_tokens BIGINT,
    token_rule VARCHAR,
    token_conflict VARCHAR,
    cost_usd DECIMAL(18, 12),
    priced_cost_usd DECIMAL(18, 12),
    priced_tokens BIGINT NOT NULL,
    unpriced_tokens BIGINT NOT NULL,
    price_source VARCHAR,
    price_name VARCHAR,
    reported_cost_usd DOUBLE,
    derived_at TIMESTAMP NOT NULL
);

-- Traces whose calls have to be derived anew, whatever arrived since.
CREATE TABLE stale_traces (
    trace_id VARCHAR NOT NULL,
    marked_at TIMESTAMP NOT NULL
);

-- How far calls have been derived from what arrived: one row. Its number goes up with each derivation, so that of two
-- processes that derive at once one finds that it was overtaken.
CREATE TABLE derivations (
    number BIGINT NOT NULL,
    spans_through TIMESTAMP NOT NULL,
    evaluations_through TIMESTAMP NOT NULL,
    derived_at TIMESTAMP NOT NULL
);

INSERT INTO derivations VALUES (0, '1970-01-01', '1970-01-01', '1970-01-01');

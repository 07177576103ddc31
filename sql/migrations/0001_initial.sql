-- The store's first shape. Times are UTC; ids are lowercase hex. Why columns look as they do: docs/data-model.md.

CREATE TABLE resources (
    resource_id VARCHAR NOT NULL,
    service_name VARCHAR,
    service_version VARCHAR,
    deployment_environment VARCHAR,
    attributes JSON NOT NULL,
    received_at TIMESTAMP NOT NULL
);

CREATE TABLE spans (
    trace_id VARCHAR NOT NULL,
    span_id VARCHAR NOT NULL,
    parent_span_id VARCHAR,
    name VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    start_time TIMESTAMP_NS NOT NULL,
    end_time TIMESTAMP_NS NOT NULL,
    duration_ns BIGINT,
    status_code VARCHAR NOT NULL,
    status_message VARCHAR,
    service_name VARCHAR,
    scope_name VARCHAR,
    scope_version VARCHAR,
    gen_ai_span_kind VARCHAR,
    operation VARCHAR,
    provider VARCHAR,
    request_model VARCHAR,
    response_model VARCHAR,
    response_id VARCHAR,
    input_tokens BIGINT,
    output_tokens BIGINT,
    cache_read_tokens BIGINT,
    cache_write_tokens BIGINT,
    reasoning_tokens BIGINT,
    token_rule VARCHAR,
    finish_reasons VARCHAR[],
    time_to_first_token_ms DOUBLE,
    conversation_id VARCHAR,
    user_id VARCHAR,
    prompt_name VARCHAR,
    prompt_version VARCHAR,
    tool_name VARCHAR,
    agent_name VARCHAR,
    error_type VARCHAR,
    reported_cost_usd DOUBLE,
    attributes JSON USING COMPRESSION zstd,
    events JSON USING COMPRESSION zstd,
    links JSON USING COMPRESSION zstd,
    trace_state VARCHAR,
    flags UINTEGER,
    dropped_attributes_count UINTEGER,
    dropped_events_count UINTEGER,
    dropped_links_count UINTEGER,
    resource_id VARCHAR NOT NULL,
    received_at TIMESTAMP NOT NULL
);

CREATE TABLE log_records (
    log_id VARCHAR NOT NULL,
    event_time TIMESTAMP_NS NOT NULL,
    trace_id VARCHAR,
    span_id VARCHAR,
    event_name VARCHAR,
    severity_number INTEGER,
    severity_text VARCHAR,
    body JSON USING COMPRESSION zstd,
    attributes JSON USING COMPRESSION zstd,
    service_name VARCHAR,
    scope_name VARCHAR,
    scope_version VARCHAR,
    resource_id VARCHAR NOT NULL,
    received_at TIMESTAMP NOT NULL
);

CREATE TABLE evaluations (
    evaluation_id VARCHAR NOT NULL,
    event_time TIMESTAMP_NS NOT NULL,
    trace_id VARCHAR,
    span_id VARCHAR,
    response_id VARCHAR,
    conversation_id VARCHAR,
    name VARCHAR NOT NULL,
    score DOUBLE,
    label VARCHAR,
    explanation VARCHAR,
    error_type VARCHAR,
    evaluator_version VARCHAR,
    source VARCHAR,
    carrier VARCHAR NOT NULL,
    service_name VARCHAR,
    attributes JSON USING COMPRESSION zstd,
    received_at TIMESTAMP NOT NULL
);

CREATE TABLE feedback (
    feedback_id VARCHAR NOT NULL,
    event_time TIMESTAMP_NS NOT NULL,
    name VARCHAR NOT NULL,
    value DOUBLE,
    label VARCHAR,
    trace_id VARCHAR,
    span_id VARCHAR,
    response_id VARCHAR,
    conversation_id VARCHAR,
    key VARCHAR,
    source VARCHAR,
    comment VARCHAR,
    attributes JSON,
    received_at TIMESTAMP NOT NULL
);

CREATE TABLE promotions (
    name VARCHAR NOT NULL,
    base VARCHAR NOT NULL,
    candidate VARCHAR NOT NULL,
    design VARCHAR NOT NULL,
    started_at TIMESTAMP NOT NULL,
    ended_at TIMESTAMP,
    cohort_by VARCHAR NOT NULL,
    candidate_share DOUBLE,
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE reports (
    report_id VARCHAR NOT NULL,
    promotion VARCHAR NOT NULL,
    as_of TIMESTAMP NOT NULL,
    generated_at TIMESTAMP NOT NULL,
    data_watermark TIMESTAMP,
    fingerprint VARCHAR NOT NULL,
    overall VARCHAR NOT NULL,
    body JSON NOT NULL
);

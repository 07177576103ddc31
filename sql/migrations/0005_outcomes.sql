-- Outcomes: who said it and how it was graded, what a later word replaced, which traces each one speaks of; data sets and
-- mirrored pairs. Why: docs/outcomes.md.

ALTER TABLE evaluations ADD COLUMN annotator VARCHAR;
ALTER TABLE evaluations ADD COLUMN identifier VARCHAR;
ALTER TABLE evaluations ADD COLUMN judge_model VARCHAR;
ALTER TABLE evaluations ADD COLUMN threshold DOUBLE;
ALTER TABLE evaluations ADD COLUMN higher_is VARCHAR;
-- A number drawn from the identity: to look for it reads a fifth of what the text takes.
ALTER TABLE evaluations ADD COLUMN evaluation_number UBIGINT;

CREATE TABLE superseded_evaluations (
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
    received_at TIMESTAMP NOT NULL,
    annotator VARCHAR,
    identifier VARCHAR,
    judge_model VARCHAR,
    threshold DOUBLE,
    higher_is VARCHAR,
    evaluation_number UBIGINT
);

CREATE TABLE superseded_feedback (
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
    received_at TIMESTAMP NOT NULL,
    idempotency_key VARCHAR
);

-- Which request said it: one that is sent again says nothing new, even after it has been corrected.
ALTER TABLE feedback ADD COLUMN idempotency_key VARCHAR;

-- What an outcome is known by, and what it says: a row of the same identity and another content replaces, one of the same
-- content is a repetition.
CREATE MACRO evaluation_identity(
    trace_id, span_id, response_id, conversation_id, event_time, attributes, name, annotator, identifier, source
) AS md5(concat_ws(chr(31),
    CASE
        WHEN span_id IS NOT NULL THEN concat_ws(chr(30), 'span', coalesce(trace_id, ''), span_id)
        WHEN trace_id IS NOT NULL THEN concat_ws(chr(30), 'trace', trace_id)
        WHEN response_id IS NOT NULL THEN concat_ws(chr(30), 'response', response_id)
        WHEN conversation_id IS NOT NULL THEN concat_ws(chr(30), 'conversation', conversation_id)
        ELSE concat_ws(chr(30), 'none', event_time, attributes)
    END,
    name, coalesce(annotator, ''), coalesce(identifier, ''), coalesce(source, '')));

CREATE MACRO evaluation_content(
    score, label, explanation, error_type, evaluator_version, judge_model, threshold, higher_is
) AS md5(concat_ws(chr(31), coalesce(score::VARCHAR, ''), coalesce(label, ''), coalesce(explanation, ''),
    coalesce(error_type, ''), coalesce(evaluator_version, ''), coalesce(judge_model, ''),
    coalesce(threshold::VARCHAR, ''), coalesce(higher_is, '')));

CREATE MACRO feedback_identity(
    id, trace_id, span_id, response_id, conversation_id, key, name, source
) AS md5(concat_ws(chr(31), name, coalesce(source, ''), CASE
    WHEN id IS NOT NULL THEN id
    WHEN span_id IS NOT NULL THEN concat_ws(chr(30), 'span', coalesce(trace_id, ''), span_id)
    WHEN trace_id IS NOT NULL THEN concat_ws(chr(30), 'trace', trace_id)
    WHEN response_id IS NOT NULL THEN concat_ws(chr(30), 'response', response_id)
    WHEN conversation_id IS NOT NULL THEN concat_ws(chr(30), 'conversation', conversation_id)
    ELSE concat_ws(chr(30), 'key', key)
END));

CREATE MACRO feedback_content(
    value, label, comment, attributes, trace_id, span_id, response_id, conversation_id, key
) AS md5(concat_ws(chr(31), coalesce(value::VARCHAR, ''), coalesce(label, ''), coalesce(comment, ''),
    coalesce(attributes::VARCHAR, ''), coalesce(trace_id, ''), coalesce(span_id, ''), coalesce(response_id, ''),
    coalesce(conversation_id, ''), coalesce(key, '')));

-- What is stored already, under its new identity; the latest of each stays.
CREATE TEMP TABLE renamed AS
SELECT
    * REPLACE (
        evaluation_identity(trace_id, span_id, response_id, conversation_id, event_time, attributes, name, annotator,
            identifier, source) AS evaluation_id
    )
FROM evaluations;
UPDATE renamed SET evaluation_number = md5_number_lower(evaluation_id);
DELETE FROM evaluations;
INSERT INTO evaluations BY NAME
SELECT * FROM renamed
QUALIFY row_number() OVER (PARTITION BY evaluation_id ORDER BY event_time DESC, received_at DESC) = 1;
INSERT INTO superseded_evaluations BY NAME
SELECT * FROM renamed
QUALIFY row_number() OVER (PARTITION BY evaluation_id ORDER BY event_time DESC, received_at DESC) > 1;
DROP TABLE renamed;

-- A row without an id of its own was known by everything it said.
CREATE TEMP TABLE renamed AS
SELECT
    * REPLACE (
        CASE
            WHEN feedback_id = md5(concat_ws(chr(31), name, coalesce(source, ''), concat_ws(chr(30), event_time,
                coalesce(value::VARCHAR, ''), coalesce(label, ''), coalesce(trace_id, ''), coalesce(span_id, ''),
                coalesce(response_id, ''), coalesce(conversation_id, ''), coalesce(key, ''), coalesce(comment, ''),
                coalesce(attributes, ''))))
                THEN feedback_identity(NULL, trace_id, span_id, response_id, conversation_id, key, name, source)
            ELSE feedback_id
        END AS feedback_id
    )
FROM feedback;
DELETE FROM feedback;
INSERT INTO feedback BY NAME
SELECT * FROM renamed
QUALIFY row_number() OVER (PARTITION BY feedback_id ORDER BY event_time DESC, received_at DESC) = 1;
INSERT INTO superseded_feedback BY NAME
SELECT * FROM renamed
QUALIFY row_number() OVER (PARTITION BY feedback_id ORDER BY event_time DESC, received_at DESC) > 1;
DROP TABLE renamed;

-- Which traces each outcome speaks of, as far as they have arrived. `event_time` here and in the two tables below is that of
-- the word that stands: look-ups are pruned by it.
CREATE TABLE outcome_matches (
    kind VARCHAR NOT NULL,
    outcome_id VARCHAR NOT NULL,
    event_time TIMESTAMP_NS NOT NULL,
    trace_id VARCHAR NOT NULL,
    level VARCHAR NOT NULL,
    matched_at TIMESTAMP NOT NULL
);

-- Outcomes that have not been looked at since they arrived.
CREATE TABLE new_outcomes (
    kind VARCHAR NOT NULL,
    outcome_id VARCHAR NOT NULL,
    event_time TIMESTAMP_NS NOT NULL
);

-- Outcomes that a trace still to come may concern: nothing matches them, or only something less exact than they name, or
-- what may have further traces.
CREATE TABLE open_outcomes (
    kind VARCHAR NOT NULL,
    outcome_id VARCHAR NOT NULL,
    event_time TIMESTAMP_NS NOT NULL,
    trace_id VARCHAR,
    span_id VARCHAR,
    response_id VARCHAR,
    conversation_id VARCHAR,
    key VARCHAR,
    level VARCHAR,
    look_back BOOLEAN NOT NULL
);

-- The application's key of each trace that has one.
CREATE TABLE trace_keys (
    key VARCHAR NOT NULL,
    trace_id VARCHAR NOT NULL,
    start_time TIMESTAMP_NS NOT NULL
);

-- How far outcomes have been matched with what arrived, and by which attribute: one row, as in `derivations`.
CREATE TABLE matchings (
    number BIGINT NOT NULL,
    spans_through TIMESTAMP NOT NULL,
    key_attribute VARCHAR,
    matched_at TIMESTAMP NOT NULL
);

INSERT INTO matchings VALUES (0, '1970-01-01', NULL, '1970-01-01');

INSERT INTO new_outcomes
SELECT 'evaluation', evaluation_id, event_time FROM evaluations
UNION ALL
SELECT 'feedback', feedback_id, event_time FROM feedback;

-- Items that base and candidate are both run on before a promotion.
CREATE TABLE dataset_items (
    dataset VARCHAR NOT NULL,
    item_id VARCHAR NOT NULL,
    input JSON USING COMPRESSION zstd,
    cohort VARCHAR,
    expected JSON USING COMPRESSION zstd,
    attributes JSON,
    imported_at TIMESTAMP NOT NULL
);

ALTER TABLE promotions ADD COLUMN dataset VARCHAR;
ALTER TABLE promotions ALTER COLUMN cohort_by DROP NOT NULL;

-- One request that a gateway answered with one model and sent to another beside it.
CREATE TABLE mirror_pairs (
    request_id VARCHAR NOT NULL,
    experiment_id VARCHAR,
    created_at TIMESTAMP_NS NOT NULL,
    source_model VARCHAR NOT NULL,
    shadow_model VARCHAR NOT NULL,
    source_latency_ms DOUBLE,
    shadow_latency_ms DOUBLE,
    source_status_code INTEGER,
    shadow_status_code INTEGER,
    source_input_tokens BIGINT,
    source_output_tokens BIGINT,
    source_total_tokens BIGINT,
    shadow_input_tokens BIGINT,
    shadow_output_tokens BIGINT,
    shadow_total_tokens BIGINT,
    shadow_error VARCHAR,
    prompt_hash VARCHAR,
    attributes JSON USING COMPRESSION zstd,
    received_at TIMESTAMP NOT NULL
);

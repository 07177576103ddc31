-- Everything that was said of traces afterwards, by evaluators and annotators (`evaluation`) and by users and business
-- systems (`feedback`), in one set of columns. What is said of which trace: outcome_matches.
CREATE OR REPLACE VIEW outcomes AS
SELECT
    'evaluation' AS kind, evaluation_id AS outcome_id, name, score AS value, label, explanation AS comment, error_type,
    evaluator_version, annotator, source, service_name, event_time, received_at, trace_id, span_id, response_id,
    conversation_id, NULL::VARCHAR AS key, attributes
FROM evaluations
UNION ALL
SELECT
    'feedback', feedback_id, name, value, label, comment, NULL, NULL, NULL, source, NULL, event_time, received_at,
    trace_id, span_id, response_id, conversation_id, key, attributes
FROM feedback;

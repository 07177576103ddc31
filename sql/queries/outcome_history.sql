-- Outcomes that were corrected: everything that was said of each, the word that stands first.
WITH said AS (
    SELECT
        'feedback' AS kind, feedback_id AS outcome_id, TRUE AS stands, event_time, received_at, name, value, label,
        comment AS explanation, source, trace_id, span_id, response_id, conversation_id, key
    FROM feedback
    UNION ALL BY NAME
    SELECT
        'feedback' AS kind, feedback_id AS outcome_id, FALSE AS stands, event_time, received_at, name, value, label,
        comment AS explanation, source, trace_id, span_id, response_id, conversation_id, key
    FROM superseded_feedback
    UNION ALL BY NAME
    SELECT
        'evaluation' AS kind,
        evaluation_id AS outcome_id,
        TRUE AS stands,
        event_time,
        received_at,
        name,
        score AS value,
        label, explanation, source, trace_id, span_id, response_id, conversation_id
    FROM evaluations
    UNION ALL BY NAME
    SELECT
        'evaluation' AS kind,
        evaluation_id AS outcome_id,
        FALSE AS stands,
        event_time,
        received_at,
        name,
        score AS value,
        label, explanation, source, trace_id, span_id, response_id, conversation_id
    FROM superseded_evaluations
),
corrected AS (
    SELECT feedback_id AS outcome_id FROM superseded_feedback
    UNION
    SELECT evaluation_id FROM superseded_evaluations
)
SELECT * FROM said SEMI JOIN corrected USING (outcome_id)
ORDER BY
    max(received_at) OVER (PARTITION BY outcome_id) DESC, outcome_id, stands DESC, event_time DESC, received_at DESC

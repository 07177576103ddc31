-- Outcomes that have not been looked at yet: the earliest ones, as far as they lie close together in time. Without a
-- row of their own any more, only their name in the queue is left.
WITH queued AS (
    SELECT *
    FROM new_outcomes
    WHERE event_time <= $until::TIMESTAMP_NS OR event_time = (SELECT min(event_time) FROM new_outcomes)
    ORDER BY event_time, outcome_id
    LIMIT $most::BIGINT
)
SELECT
    queued.kind, queued.outcome_id, queued.event_time, evaluations.trace_id, evaluations.span_id,
    evaluations.response_id, evaluations.conversation_id,
    json_extract_string(evaluations.attributes, $key_path::VARCHAR) AS key,
    NULL::VARCHAR AS level,
    evaluations.evaluation_id IS NOT NULL AS is_stored
FROM queued
LEFT JOIN evaluations ON evaluations.event_time = queued.event_time AND evaluations.evaluation_id = queued.outcome_id
WHERE queued.kind = 'evaluation'
UNION ALL
SELECT
    queued.kind, queued.outcome_id, queued.event_time, feedback.trace_id, feedback.span_id, feedback.response_id,
    feedback.conversation_id, feedback.key, NULL, feedback.feedback_id IS NOT NULL
FROM queued
LEFT JOIN feedback ON feedback.event_time = queued.event_time AND feedback.feedback_id = queued.outcome_id
WHERE queued.kind = 'feedback'

-- What was said of some traces by a moment, evaluators first, a bounded number of each trace.
WITH wanted AS (SELECT unnest($trace_ids::VARCHAR[]) AS trace_id),
matched AS (
    SELECT DISTINCT kind, outcome_id, event_time, trace_id AS matched_id
    FROM outcome_matches
    WHERE trace_id IN (FROM wanted)
),
said AS (
    SELECT
        'evaluation' AS kind, coalesce(matched_id, trace_id) AS trace_id, evaluation_id AS outcome_id, name, score AS value,
        label, explanation AS comment, error_type, threshold, higher_is, coalesce(annotator, source) AS source, evaluations.event_time
    FROM evaluations
    LEFT JOIN (FROM matched WHERE kind = 'evaluation') AS matched
        ON evaluations.evaluation_id = matched.outcome_id AND evaluations.event_time = matched.event_time
    UNION ALL
    SELECT
        'feedback', coalesce(matched_id, trace_id), feedback_id, name, value, label, comment, NULL, NULL, NULL, source,
        feedback.event_time
    FROM feedback
    LEFT JOIN (FROM matched WHERE kind = 'feedback') AS matched
        ON feedback.feedback_id = matched.outcome_id AND feedback.event_time = matched.event_time
)
SELECT
    trace_id, kind, left(name, 1000) AS name, value, left(label, 1000) AS label, left(comment, 4000) AS comment,
    left(error_type, 1000) AS error_type, threshold, higher_is, left(source, 1000) AS source
FROM said
WHERE trace_id IN (FROM wanted) AND ($until::TIMESTAMP_NS IS NULL OR event_time < $until::TIMESTAMP_NS)
QUALIFY
    row_number() OVER (PARTITION BY trace_id ORDER BY kind, name, event_time, outcome_id) <= $most_outcomes::BIGINT
ORDER BY trace_id, kind, name, event_time, outcome_id

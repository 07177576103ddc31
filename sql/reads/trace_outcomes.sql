-- What was said of some traces by a moment, evaluators first, a bounded number of each trace. What matches one of them
-- stands beside it, and what matches nothing yet beside the trace that it names itself.
WITH wanted AS (SELECT unnest($trace_ids::VARCHAR[]) AS trace_id),
matched AS (
    SELECT DISTINCT kind, outcome_id, event_time, trace_id AS matched_id
    FROM outcome_matches
    WHERE trace_id IN (FROM wanted) AND ($until::TIMESTAMP_NS IS NULL OR event_time < $until::TIMESTAMP_NS)
),
judged AS (
    SELECT matched_id, evaluations.*
    FROM evaluations INNER JOIN matched
        ON kind = 'evaluation' AND evaluation_id = outcome_id AND evaluations.event_time = matched.event_time
    UNION ALL
    SELECT trace_id, *
    FROM evaluations ANTI JOIN matched
        ON kind = 'evaluation' AND evaluation_id = outcome_id AND evaluations.event_time = matched.event_time
    WHERE trace_id IN (FROM wanted)
),
happened AS (
    SELECT matched_id, feedback.*
    FROM feedback INNER JOIN matched
        ON kind = 'feedback' AND feedback_id = outcome_id AND feedback.event_time = matched.event_time
    UNION ALL
    SELECT trace_id, *
    FROM feedback ANTI JOIN matched
        ON kind = 'feedback' AND feedback_id = outcome_id AND feedback.event_time = matched.event_time
    WHERE trace_id IN (FROM wanted)
),
said AS (
    SELECT
        'evaluation' AS kind, matched_id AS trace_id, evaluation_id AS outcome_id, name, score AS value, label,
        explanation AS comment, error_type, threshold, higher_is, coalesce(annotator, source) AS source, event_time
    FROM judged
    UNION ALL
    SELECT
        'feedback', matched_id, feedback_id, name, value, label, comment, NULL, NULL, NULL, source, event_time
    FROM happened
)
SELECT
    trace_id, kind, left(name, 1000) AS name, value, left(label, 1000) AS label, left(comment, 4000) AS comment,
    left(error_type, 1000) AS error_type, threshold, higher_is, left(source, 1000) AS source
FROM said
WHERE $until::TIMESTAMP_NS IS NULL OR event_time < $until::TIMESTAMP_NS
QUALIFY
    row_number() OVER (PARTITION BY trace_id ORDER BY kind, name, event_time, outcome_id) <= $most_outcomes::BIGINT
ORDER BY trace_id, kind, name, event_time, outcome_id

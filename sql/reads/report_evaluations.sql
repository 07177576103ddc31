-- What evaluators had said by a moment: every word, and when another one took its place by then.
SELECT
    * EXCLUDE (attributes, explanation, stands),
    lead(event_time) OVER (PARTITION BY evaluation_id ORDER BY event_time, received_at, stands) AS replaced_at
FROM (
    SELECT *, TRUE AS stands FROM evaluations
    UNION ALL BY NAME
    SELECT *, FALSE AS stands FROM superseded_evaluations
)
WHERE event_time < $until::TIMESTAMP_NS

-- What users and business systems had said by a moment: every word, and when another one took its place by then.
SELECT
    * EXCLUDE (attributes, comment, stands),
    lead(event_time) OVER (PARTITION BY feedback_id ORDER BY event_time, received_at, stands) AS replaced_at
FROM (
    SELECT *, TRUE AS stands FROM feedback
    UNION ALL BY NAME
    SELECT *, FALSE AS stands FROM superseded_feedback
)
WHERE event_time < $until::TIMESTAMP_NS

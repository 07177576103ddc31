-- What evaluators had said by a moment: every word, and when another one took its place by then. What names a span, a
-- trace or an answer came after the window began, within a day for clocks that differ; what names only a conversation
-- or a key may be older than a trace of it.
WITH said AS (
    SELECT * EXCLUDE (attributes, explanation), json_extract_string(attributes, $key_path::VARCHAR) AS key
    FROM (
        SELECT *, TRUE AS stands FROM evaluations
        UNION ALL BY NAME
        SELECT *, FALSE AS stands FROM superseded_evaluations
    )
    WHERE event_time < $until::TIMESTAMP_NS
),
near AS (
    FROM said
    WHERE event_time >= ($since::TIMESTAMP - INTERVAL 1 DAY)::TIMESTAMP_NS
    UNION ALL
    FROM said
    WHERE
        event_time < ($since::TIMESTAMP - INTERVAL 1 DAY)::TIMESTAMP_NS
        AND span_id IS NULL AND trace_id IS NULL AND response_id IS NULL
        AND (conversation_id IS NOT NULL OR key IS NOT NULL)
)
SELECT
    * EXCLUDE (stands),
    lead(event_time) OVER (PARTITION BY evaluation_id ORDER BY event_time, received_at, stands) AS replaced_at
FROM near

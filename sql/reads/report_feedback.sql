-- What users and business systems had said by a moment: of each identity the word that stood then.
WITH said AS (
    SELECT * EXCLUDE (attributes, comment)
    FROM (FROM feedback UNION ALL BY NAME FROM superseded_feedback)
    WHERE event_time < $until::TIMESTAMP_NS
),
-- What names a span, a trace or an answer came after the window began, within a day for clocks that differ; what names only
-- a conversation or a key may be older than a trace of it.
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
FROM near
QUALIFY row_number() OVER (PARTITION BY feedback_id ORDER BY event_time DESC, received_at DESC) = 1

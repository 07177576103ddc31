-- Open outcomes that spans which arrived may concern, pruned by when they happened. Of one conversation or key a
-- bounded number, the latest ones: what shares it with thousands tells nothing from anything.
WITH arrived AS (
    SELECT trace_id, span_id, response_id, conversation_id
    FROM spans
    WHERE received_at > $spans_after::TIMESTAMP AND received_at <= $spans_through::TIMESTAMP
)
SELECT
    kind, outcome_id, event_time, trace_id, span_id, response_id, conversation_id, key, level, look_back,
    TRUE AS is_stored
FROM open_outcomes
WHERE
    event_time BETWEEN $earliest::TIMESTAMP_NS AND $latest::TIMESTAMP_NS
    AND (
        span_id IN (SELECT span_id FROM arrived)
        OR trace_id IN (SELECT trace_id FROM arrived)
        OR response_id IN (SELECT response_id FROM arrived WHERE response_id IS NOT NULL)
        OR conversation_id IN (SELECT conversation_id FROM arrived WHERE conversation_id IS NOT NULL)
        OR key IN (SELECT unnest($keys::VARCHAR[]))
    )
QUALIFY
    row_number() OVER (
        PARTITION BY coalesce(conversation_id, key, outcome_id) ORDER BY event_time DESC, outcome_id
    ) <= $most_of_one::BIGINT

-- What was recorded in some spans: attributes and events. What is too large, alone or with those before it in its
-- trace, is left out, and its size told.
WITH wanted AS (
    SELECT
        unnest($trace_ids::VARCHAR[]) AS trace_id, unnest($span_ids::VARCHAR[]) AS span_id,
        unnest($places::BIGINT[]) AS place
),
found AS (
    SELECT trace_id, span_id, place, attributes, events, strlen(attributes) + coalesce(strlen(events), 0) AS bytes
    FROM spans INNER JOIN wanted USING (trace_id, span_id)
    WHERE start_time >= make_timestamp_ns($since_ns::BIGINT) AND start_time <= make_timestamp_ns($until_ns::BIGINT)
    QUALIFY row_number() OVER (PARTITION BY trace_id, span_id ORDER BY start_time DESC, end_time DESC) = 1
),
counted AS (
    SELECT
        *, bytes <= $most_bytes::BIGINT AS fits, sum(CASE WHEN bytes <= $most_bytes::BIGINT THEN bytes ELSE 0 END)
            OVER (PARTITION BY trace_id ORDER BY place) AS through
    FROM found
)
SELECT
    trace_id, span_id, bytes,
    fits AND through <= $most_trace_bytes::BIGINT AS is_read,
    CASE WHEN fits AND through <= $most_trace_bytes::BIGINT THEN attributes END AS attributes,
    CASE WHEN fits AND through <= $most_trace_bytes::BIGINT THEN events END AS events
FROM counted
ORDER BY trace_id, place

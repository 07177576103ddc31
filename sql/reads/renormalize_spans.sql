-- Spans that an older version of the normaliser wrote: at most a number of them, and of bytes (but one).
WITH found AS (
    SELECT start_time, span_id, trace_id, strlen(attributes) + coalesce(strlen(events), 0) AS size
    FROM live_spans
    WHERE
        start_time >= make_timestamp_ns($first::BIGINT) AND start_time <= make_timestamp_ns($through::BIGINT)
        AND coalesce(normalizer_version, 0) < $version::INTEGER
    LIMIT $most_spans::BIGINT
),
sized AS (
    SELECT
        start_time, span_id, trace_id,
        sum(size) OVER in_order - size AS size_before
    FROM found
    WINDOW in_order AS (ORDER BY start_time, span_id, trace_id ROWS UNBOUNDED PRECEDING)
)
SELECT start_time, span_id, trace_id, name, scope_name, scope_version, attributes, events, links
FROM live_spans
SEMI JOIN (FROM sized WHERE size_before <= $most_bytes::BIGINT) AS chosen USING (start_time, span_id, trace_id)

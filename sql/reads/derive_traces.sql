-- The traces of a window, with their number of spans, and when the first and the last of these began.
WITH seen AS (
    SELECT trace_id, span_id, response_id, start_time
    FROM spans
    WHERE start_time BETWEEN $since::TIMESTAMP_NS AND $until::TIMESTAMP_NS
),
judged AS (
    SELECT trace_id, span_id, response_id
    FROM evaluations
    WHERE
        received_at > $evaluations_after::TIMESTAMP
        AND received_at <= $evaluations_through::TIMESTAMP
        AND coalesce(nullif(regexp_replace(lower(name), '[^\p{L}\p{N}]', '', 'g'), ''), name)
        IN (SELECT unnest($validators::VARCHAR[]))
),
changed AS (
    SELECT trace_id FROM live_spans
    WHERE received_at > $spans_after::TIMESTAMP AND received_at <= $spans_through::TIMESTAMP
    UNION
    SELECT trace_id FROM stale_traces WHERE trace_id <= $stale_through::VARCHAR
    UNION
    SELECT trace_id FROM judged WHERE trace_id IS NOT NULL
    UNION
    SELECT seen.trace_id FROM seen INNER JOIN judged ON judged.trace_id IS NULL AND seen.span_id = judged.span_id
    UNION
    SELECT seen.trace_id FROM seen INNER JOIN judged
        ON judged.trace_id IS NULL AND judged.span_id IS NULL AND seen.response_id = judged.response_id
)
SELECT trace_id, count(*) AS spans, epoch_ns(min(start_time)) AS first, epoch_ns(max(start_time)) AS last
FROM seen SEMI JOIN changed USING (trace_id)
GROUP BY trace_id
ORDER BY trace_id

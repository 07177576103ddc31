-- What to derive next: spans that arrived, evaluations that arrived, traces that were marked; a bounded number of each.
SELECT
    (
        SELECT max(received_at)
        FROM (
            SELECT received_at FROM live_spans
            WHERE received_at > $spans_after::TIMESTAMP
            ORDER BY received_at
            LIMIT $most_spans::BIGINT
        )
    ) AS spans_through,
    (SELECT max(received_at) FROM evaluations WHERE received_at > $evaluations_after::TIMESTAMP) AS evaluations_through,
    (
        SELECT max(trace_id)
        FROM (SELECT DISTINCT trace_id FROM stale_traces ORDER BY trace_id LIMIT $most_traces::BIGINT)
    ) AS stale_through,
    (SELECT max(marked_at) FROM stale_traces) AS marked_through,
    (SELECT count(*) FROM live_spans WHERE received_at > $spans_after::TIMESTAMP) AS spans_left,
    (SELECT count(*) FROM stale_traces) AS traces_left

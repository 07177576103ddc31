-- What to derive next: spans that arrived, evaluations that arrived, traces that were marked; a bounded number of each.
-- What arrived has arrived lately, and is live. Of the archive, days are looked into from two days before the first of
-- what arrived on, and from the first call that its traces are known to have; for traces that were marked, and where a
-- score names no trace, all days.
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
    CASE
        WHEN
            NOT EXISTS (FROM stale_traces)
            AND NOT EXISTS (
                FROM evaluations WHERE received_at > $evaluations_after::TIMESTAMP AND trace_id IS NULL
            )
            THEN least(
                (
                    SELECT min(start_time)::TIMESTAMP FROM live_spans WHERE received_at > $spans_after::TIMESTAMP
                ) - INTERVAL 2 DAY,
                (
                    SELECT min(event_time)::TIMESTAMP FROM evaluations WHERE received_at > $evaluations_after::TIMESTAMP
                ) - INTERVAL 2 DAY,
                (
                    SELECT min(start_time)::TIMESTAMP FROM calls
                    SEMI JOIN (
                        SELECT trace_id FROM live_spans WHERE received_at > $spans_after::TIMESTAMP
                        UNION
                        SELECT trace_id FROM evaluations WHERE received_at > $evaluations_after::TIMESTAMP
                    ) AS arrived USING (trace_id)
                )
            )
    END AS archived_since,
    (SELECT count(*) FROM live_spans WHERE received_at > $spans_after::TIMESTAMP) AS spans_left,
    (SELECT count(*) FROM stale_traces) AS traces_left

-- What to derive next: spans that arrived, evaluations that arrived, traces that were marked; a bounded number of each.
-- What arrived has arrived lately, and is live. The rest of its traces is looked for among the spans that began about
-- when it did; of a trace that was judged also about its first and last call. For traces that were marked, and where a
-- judgement names no trace, among all.
WITH hours AS (
    SELECT date_trunc('hour', received_at) AS hour, count(*) AS spans
    FROM live_spans
    WHERE received_at > $spans_after::TIMESTAMP
    GROUP BY hour
),
-- Where much waits, only what came first is put in order.
near AS (
    SELECT coalesce(min(hour) FILTER (spans_until >= $most_spans::BIGINT), max(hour)) + INTERVAL 1 HOUR AS until
    FROM (SELECT hour, sum(spans) OVER (ORDER BY hour) AS spans_until FROM hours)
),
through AS (
    SELECT max(received_at) AS spans_through
    FROM (
        SELECT received_at FROM live_spans
        WHERE received_at > $spans_after::TIMESTAMP AND received_at < (SELECT until FROM near)
        ORDER BY received_at
        LIMIT $most_spans::BIGINT
    )
),
judged AS (
    SELECT trace_id, event_time
    FROM evaluations
    WHERE
        received_at > $evaluations_after::TIMESTAMP
        AND coalesce(nullif(regexp_replace(lower(name), '[^\p{L}\p{N}]', '', 'g'), ''), name)
        IN (SELECT unnest($validators::VARCHAR[]))
),
times AS (
    SELECT min(start_time) AS first, greatest(max(start_time), max(end_time)) AS last
    FROM live_spans
    WHERE received_at > $spans_after::TIMESTAMP AND received_at <= (SELECT spans_through FROM through)
    UNION ALL
    SELECT min(event_time), max(event_time) FROM judged
    UNION ALL
    SELECT min(start_time), max(start_time) FROM calls SEMI JOIN judged USING (trace_id)
),
found AS (
    SELECT
        spans_through,
        (SELECT max(received_at) FROM evaluations WHERE received_at > $evaluations_after::TIMESTAMP)
            AS evaluations_through,
        (
            SELECT max(trace_id)
            FROM (SELECT DISTINCT trace_id FROM stale_traces ORDER BY trace_id LIMIT $most_traces::BIGINT)
        ) AS stale_through,
        (SELECT max(marked_at) FROM stale_traces) AS marked_through,
        (SELECT coalesce(sum(spans), 0)::BIGINT FROM hours) AS spans_left,
        (SELECT count(*) FROM stale_traces) AS traces_left,
        (SELECT count(*) FROM judged WHERE trace_id IS NULL) AS traceless
    FROM through
)
SELECT
    * EXCLUDE (traceless, first, last),
    CASE WHEN traces_left = 0 AND traceless = 0 THEN first - to_seconds($spread_seconds::DOUBLE) END AS since,
    CASE WHEN traces_left = 0 AND traceless = 0 THEN last + to_seconds($spread_seconds::DOUBLE) END AS until
FROM found CROSS JOIN (SELECT min(first)::TIMESTAMP AS first, max(last)::TIMESTAMP AS last FROM times) AS bounds

-- What arrived since outcomes were matched: a bounded number of spans, and when those began. What has been matched
-- before may be in the archive, and is looked at once more when another attribute holds the key.
WITH unseen AS (
    SELECT day FROM archived_files
    WHERE table_name = 'spans' AND received_through > $spans_after::TIMESTAMP
),
waiting AS NOT MATERIALIZED (
    SELECT received_at, start_time FROM live_spans
    WHERE received_at > $spans_after::TIMESTAMP
    UNION ALL
    SELECT received_at, start_time FROM archived_spans INNER JOIN unseen ON start_time::DATE = unseen.day
    WHERE received_at > $spans_after::TIMESTAMP
),
hours AS (
    SELECT date_trunc('hour', received_at) AS hour, count(*) AS spans
    FROM waiting
    GROUP BY hour
),
-- Where much waits, only what came first is put in order.
near AS (
    SELECT coalesce(min(hour) FILTER (spans_until >= $most_spans::BIGINT), max(hour)) + INTERVAL 1 HOUR AS until
    FROM (SELECT hour, sum(spans) OVER (ORDER BY hour) AS spans_until FROM hours)
),
arrived AS (
    SELECT received_at, start_time
    FROM waiting
    WHERE received_at < (SELECT until FROM near)
    ORDER BY received_at
    LIMIT $most_spans::BIGINT
)
SELECT
    (SELECT max(received_at) FROM arrived) AS spans_through,
    (SELECT min(start_time) FROM arrived)::TIMESTAMP AS first_start,
    (SELECT max(start_time) FROM arrived)::TIMESTAMP AS last_start,
    (SELECT coalesce(sum(spans), 0)::BIGINT FROM hours) AS spans_left,
    (SELECT count(*) FROM new_outcomes) AS outcomes_left,
    (SELECT min(event_time) FROM new_outcomes)::TIMESTAMP AS first_outcome,
    (SELECT count(*) FROM open_outcomes WHERE look_back) AS look_backs_left

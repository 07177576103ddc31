-- How far outcomes have been matched, and what arrived since: a bounded number of spans, and when those began. What has
-- been matched before may be in the archive, and is looked at once more when another attribute holds the key.
WITH unseen AS (
    SELECT day FROM archived_files
    WHERE table_name = 'spans' AND received_through > (SELECT spans_through FROM matchings)
),
waiting AS (
    SELECT received_at, start_time FROM live_spans
    WHERE received_at > (SELECT spans_through FROM matchings)
    UNION ALL
    SELECT received_at, start_time FROM archived_spans INNER JOIN unseen ON start_time::DATE = unseen.day
    WHERE received_at > (SELECT spans_through FROM matchings)
),
arrived AS (
    SELECT received_at, start_time
    FROM waiting
    ORDER BY received_at
    LIMIT $most_spans::BIGINT
)
SELECT
    number,
    spans_through AS spans_after,
    (SELECT max(received_at) FROM arrived) AS spans_through,
    (SELECT min(start_time) FROM arrived)::TIMESTAMP AS first_start,
    (SELECT max(start_time) FROM arrived)::TIMESTAMP AS last_start,
    (SELECT count(*) FROM waiting) AS spans_left,
    (SELECT count(*) FROM new_outcomes) AS outcomes_left,
    (SELECT min(event_time) FROM new_outcomes)::TIMESTAMP AS first_outcome,
    (SELECT count(*) FROM open_outcomes WHERE look_back) AS look_backs_left,
    key_attribute
FROM matchings

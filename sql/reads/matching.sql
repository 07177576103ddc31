-- How far outcomes have been matched, and what arrived since: a bounded number of spans, and when those began.
WITH arrived AS (
    SELECT received_at, start_time
    FROM live_spans
    WHERE received_at > (SELECT spans_through FROM matchings)
    ORDER BY received_at
    LIMIT $most_spans::BIGINT
)
SELECT
    number,
    spans_through AS spans_after,
    (SELECT max(received_at) FROM arrived) AS spans_through,
    (SELECT min(start_time) FROM arrived)::TIMESTAMP AS first_start,
    (SELECT max(start_time) FROM arrived)::TIMESTAMP AS last_start,
    (SELECT count(*) FROM live_spans WHERE received_at > matchings.spans_through) AS spans_left,
    (SELECT count(*) FROM new_outcomes) AS outcomes_left,
    (SELECT min(event_time) FROM new_outcomes)::TIMESTAMP AS first_outcome,
    (SELECT count(*) FROM open_outcomes WHERE look_back) AS look_backs_left,
    key_attribute
FROM matchings

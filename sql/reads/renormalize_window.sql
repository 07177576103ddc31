-- Where the next spans lie that an older version of the normaliser wrote, and how many there are.
SELECT
    (
        SELECT max(start_time)
        FROM (
            SELECT start_time FROM spans
            WHERE start_time >= $from::TIMESTAMP_NS AND coalesce(normalizer_version, 0) < $version::INTEGER
            ORDER BY start_time
            LIMIT $most_spans::BIGINT
        )
    ) AS through,
    (SELECT count(*) FROM spans WHERE coalesce(normalizer_version, 0) < $version::INTEGER) AS spans_left

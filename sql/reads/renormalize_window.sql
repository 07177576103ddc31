-- Where the next spans lie that an older version of the normaliser wrote (nanoseconds since 1970), and how many are
-- left.
SELECT
    epoch_ns(min(start_time)) AS first,
    epoch_ns(max(start_time)) AS through,
    (SELECT count(*) FROM live_spans WHERE coalesce(normalizer_version, 0) < $version::INTEGER) AS spans_left
FROM (
    SELECT start_time FROM live_spans
    WHERE start_time >= make_timestamp_ns($first::BIGINT) AND coalesce(normalizer_version, 0) < $version::INTEGER
    ORDER BY start_time
    LIMIT $most_spans::BIGINT
)

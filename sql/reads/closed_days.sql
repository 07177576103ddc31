-- Days before a day that the live tables hold rows of, and the file that each has in the archive. A day may be archived
-- once what arrived for it has been normalised by this version, derived and matched; of log records nothing is derived.
WITH held AS (
    SELECT
        'spans' AS table_name, start_time::DATE AS day, count(*) AS live_rows, max(received_at) AS received_through,
        min(coalesce(normalizer_version, 0)) AS normalizer_version
    FROM live_spans
    WHERE start_time < $before::TIMESTAMP
    GROUP BY day
    UNION ALL
    SELECT 'log_records', event_time::DATE AS day, count(*), max(received_at), NULL
    FROM live_log_records
    WHERE event_time < $before::TIMESTAMP
    GROUP BY day
)
SELECT
    table_name, day, live_rows, file AS replaces, archived_at,
    table_name = 'log_records'
    OR (
        normalizer_version >= $version::INTEGER
        AND held.received_through <= least(
            (SELECT max(spans_through) FROM derivations), (SELECT max(spans_through) FROM matchings)
        )
    ) AS is_seen
FROM held LEFT JOIN archived_files USING (table_name, day)
ORDER BY day, table_name

-- Days before a time of which rows have arrived whose content was not deleted yet.
WITH done AS (
    SELECT day, max(received_through) AS received_through
    FROM pruned_days
    WHERE table_name = 'log_records' AND what = 'content'
    GROUP BY day
)
SELECT
    live_log_records.event_time::DATE AS day,
    count(*) AS rows,
    any_value(done.received_through) AS received_after,
    max(live_log_records.received_at) AS received_through
FROM live_log_records LEFT JOIN done ON live_log_records.event_time::DATE = done.day
WHERE
    live_log_records.event_time < $until::TIMESTAMP
    AND live_log_records.received_at > coalesce(done.received_through, '1970-01-01'::TIMESTAMP)
GROUP BY ALL
ORDER BY day

-- The log records of a day for its file: those that are live, and those of the file that it has already.
WITH live AS (
    SELECT *, TRUE AS is_live FROM live_log_records
    WHERE event_time >= $day::TIMESTAMP_NS AND event_time < ($day::TIMESTAMP + INTERVAL 1 DAY)::TIMESTAMP_NS
),
filed AS (
    SELECT *, FALSE AS is_live FROM archived_log_records
    WHERE $merges AND event_time >= $day::TIMESTAMP_NS AND event_time < ($day::TIMESTAMP + INTERVAL 1 DAY)::TIMESTAMP_NS
)
SELECT * FROM live
UNION ALL BY NAME
SELECT * FROM filed
WHERE NOT EXISTS (
    FROM live
    WHERE live.event_time = filed.event_time AND live.log_id = filed.log_id
)

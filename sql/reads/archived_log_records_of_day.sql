-- The rows that the archive holds of a day, as they are written into a file.
SELECT *, FALSE AS is_live
FROM archived_log_records
WHERE event_time >= $day::DATE::TIMESTAMP_NS AND event_time < ($day::DATE + INTERVAL 1 DAY)::TIMESTAMP_NS

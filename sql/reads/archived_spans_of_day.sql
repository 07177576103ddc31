-- The rows that the archive holds of a day, as they are written into a file.
SELECT *, FALSE AS is_live
FROM archived_spans
WHERE start_time >= $day::DATE::TIMESTAMP_NS AND start_time < ($day::DATE + INTERVAL 1 DAY)::TIMESTAMP_NS

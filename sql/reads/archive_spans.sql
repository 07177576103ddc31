-- The spans of a day for its file: those that are live, and those of the file that it has already.
WITH live AS (
    SELECT *, TRUE AS is_live FROM live_spans
    WHERE start_time >= $day::TIMESTAMP_NS AND start_time < ($day::TIMESTAMP + INTERVAL 1 DAY)::TIMESTAMP_NS
),
filed AS (
    SELECT *, FALSE AS is_live FROM archived_spans
    WHERE $merges AND start_time >= $day::TIMESTAMP_NS AND start_time < ($day::TIMESTAMP + INTERVAL 1 DAY)::TIMESTAMP_NS
)
SELECT * FROM live
UNION ALL BY NAME
SELECT * FROM filed
WHERE NOT EXISTS (
    FROM live
    WHERE live.start_time = filed.start_time AND live.span_id = filed.span_id AND live.trace_id = filed.trace_id
)

-- Rows of a time, deleted by retention: `incoming` is one row with `since`, `until` and `pruned_at`.
INSERT INTO pruned_days BY NAME
SELECT
    'log_records' AS table_name,
    event_time::DATE AS day,
    'rows' AS what,
    count(*) AS rows,
    any_value(pruned_at) AS pruned_at
FROM live_log_records, incoming
WHERE event_time >= since AND event_time < until
GROUP BY ALL;

DELETE FROM live_log_records
WHERE
    event_time >= (SELECT since FROM incoming)
    AND event_time < (SELECT until FROM incoming)

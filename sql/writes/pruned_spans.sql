-- Rows of a time, deleted by retention: `incoming` is one row with `since`, `until` and `pruned_at`.
INSERT INTO pruned_days BY NAME
SELECT
    'spans' AS table_name,
    start_time::DATE AS day,
    'rows' AS what,
    count(*) AS rows,
    any_value(pruned_at) AS pruned_at
FROM live_spans, incoming
WHERE start_time >= since AND start_time < until
GROUP BY ALL;

DELETE FROM live_spans
WHERE
    start_time >= (SELECT since FROM incoming)
    AND start_time < (SELECT until FROM incoming)

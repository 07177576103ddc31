-- Rows of a time, deleted by retention: `incoming` is one row with `since`, `until` and `pruned_at`.
INSERT INTO pruned_days BY NAME
SELECT
    'evaluations' AS table_name,
    event_time::DATE AS day,
    'rows' AS what,
    count(*) AS rows,
    any_value(pruned_at) AS pruned_at
FROM evaluations, incoming
WHERE event_time >= since AND event_time < until
GROUP BY ALL;

DELETE FROM evaluations
WHERE
    event_time >= (SELECT since FROM incoming)
    AND event_time < (SELECT until FROM incoming);

INSERT INTO pruned_days BY NAME
SELECT
    'superseded_evaluations' AS table_name,
    event_time::DATE AS day,
    'rows' AS what,
    count(*) AS rows,
    any_value(pruned_at) AS pruned_at
FROM superseded_evaluations, incoming
WHERE event_time >= since AND event_time < until
GROUP BY ALL;

DELETE FROM superseded_evaluations
WHERE
    event_time >= (SELECT since FROM incoming)
    AND event_time < (SELECT until FROM incoming);

INSERT INTO pruned_days BY NAME
SELECT
    'feedback' AS table_name,
    event_time::DATE AS day,
    'rows' AS what,
    count(*) AS rows,
    any_value(pruned_at) AS pruned_at
FROM feedback, incoming
WHERE event_time >= since AND event_time < until
GROUP BY ALL;

DELETE FROM feedback
WHERE
    event_time >= (SELECT since FROM incoming)
    AND event_time < (SELECT until FROM incoming);

INSERT INTO pruned_days BY NAME
SELECT
    'superseded_feedback' AS table_name,
    event_time::DATE AS day,
    'rows' AS what,
    count(*) AS rows,
    any_value(pruned_at) AS pruned_at
FROM superseded_feedback, incoming
WHERE event_time >= since AND event_time < until
GROUP BY ALL;

DELETE FROM superseded_feedback
WHERE
    event_time >= (SELECT since FROM incoming)
    AND event_time < (SELECT until FROM incoming);

DELETE FROM outcome_matches
WHERE
    event_time >= (SELECT since FROM incoming)
    AND event_time < (SELECT until FROM incoming);

DELETE FROM open_outcomes
WHERE
    event_time >= (SELECT since FROM incoming)
    AND event_time < (SELECT until FROM incoming);

DELETE FROM new_outcomes
WHERE
    event_time >= (SELECT since FROM incoming)
    AND event_time < (SELECT until FROM incoming)

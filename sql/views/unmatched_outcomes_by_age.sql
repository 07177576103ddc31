-- How many outcomes match nothing, by how long they have waited, who sent them and what they name.
CREATE OR REPLACE VIEW unmatched_outcomes_by_age AS
SELECT
    CASE
        WHEN hours_waited < 1 THEN '1: under an hour'
        WHEN hours_waited < 24 THEN '2: under a day'
        WHEN hours_waited < 7 * 24 THEN '3: under a week'
        WHEN hours_waited < 30 * 24 THEN '4: under 30 days'
        ELSE '5: 30 days or more'
    END AS age,
    kind, name, coalesce(source, service_name) AS source, level, count(*) AS outcomes,
    min(event_time) AS first_event_time, max(event_time) AS last_event_time, min(value) AS example
FROM unmatched_outcomes
GROUP BY ALL
ORDER BY age, outcomes DESC, kind, name, source, level;

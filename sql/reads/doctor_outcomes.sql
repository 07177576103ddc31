-- Outcomes that match nothing, by who sends them and what they name: how many, since when, how many of them can never
-- match.
SELECT
    kind, name, coalesce(source, service_name) AS source, level,
    count(*) AS outcomes,
    count(*) FILTER (WHERE hours_waited >= $hours::DOUBLE) AS waiting_long,
    max(hours_waited) AS longest_hours,
    count(*) FILTER (
        WHERE (level = 'span' AND NOT regexp_full_match(value, '[0-9a-f]{16}'))
        OR (level = 'trace' AND NOT regexp_full_match(value, '[0-9a-f]{32}'))
    ) AS malformed,
    min(value) AS example
FROM unmatched_outcomes
GROUP BY ALL
ORDER BY outcomes DESC, kind, name, source, level
LIMIT $most::BIGINT

-- Promotions by their beginning, the newest first, each with its newest report: one page of them, or the one of a name.
WITH listed AS (
    SELECT name, base, candidate, design, started_at, ended_at, cohort_by, count(*) OVER () AS promotions
    FROM promotions
    WHERE $name::VARCHAR IS NULL OR name = $name
    ORDER BY started_at DESC, name
    LIMIT $most::BIGINT OFFSET $passed_over::BIGINT
),
made AS (
    SELECT
        promotion, report_id, as_of, overall, json_extract_string(body, '$.headline') AS headline,
        count(*) OVER (PARTITION BY promotion) AS reports
    FROM reports
    WHERE promotion IN (SELECT name FROM listed)
    QUALIFY row_number() OVER (PARTITION BY promotion ORDER BY as_of DESC, generated_at DESC, report_id) = 1
)
SELECT listed.*, made.* EXCLUDE (promotion)
FROM listed LEFT JOIN made ON listed.name = made.promotion
ORDER BY listed.started_at DESC, listed.name

-- Where the decision on a cohort changed from one report of a promotion to the next, over its newest reports, the last
-- change first.
WITH newest AS (
    SELECT report_id, as_of, generated_at, body
    FROM reports
    WHERE promotion = $promotion
    ORDER BY as_of DESC, generated_at DESC, report_id
    LIMIT $most_reports::BIGINT
),
decided AS (
    SELECT
        report_id, as_of, generated_at, unnest(json_extract_string(body, '$.cohorts[*].cohort')) AS cohort,
        unnest(json_extract_string(body, '$.cohorts[*].decision')) AS decision
    FROM newest
)
SELECT
    report_id, as_of, cohort, decision,
    lag(decision) OVER (PARTITION BY cohort ORDER BY as_of, generated_at, report_id DESC) AS earlier
FROM decided
QUALIFY decision IS DISTINCT FROM earlier
ORDER BY as_of DESC, generated_at DESC, report_id, cohort
LIMIT $most::BIGINT

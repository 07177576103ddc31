-- The verdicts of every promotion's newest report, regressions first.
WITH newest AS (
    SELECT promotion, as_of, body
    FROM reports
    QUALIFY row_number() OVER (PARTITION BY promotion ORDER BY as_of DESC, generated_at DESC, report_id) = 1
),
cohorts AS (
    SELECT promotion, as_of, unnest(json_extract(body, '$.cohorts[*]')) AS cohort
    FROM newest
),
metrics AS (
    SELECT
        promotion, as_of, cohort ->> '$.cohort' AS cohort, cohort ->> '$.decision' AS decision,
        unnest(json_extract(cohort, '$.metrics[*]')) AS metric
    FROM cohorts
)
SELECT
    promotion, as_of, cohort, decision, metric ->> '$.metric' AS metric, metric ->> '$.verdict' AS verdict,
    metric ->> '$.reason' AS reason
FROM metrics
ORDER BY promotion, verdict <> 'REGRESSED', verdict <> 'IMPROVED', verdict, cohort, metric

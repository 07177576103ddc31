-- The verdicts of some reports, one row a cohort and metric in the report's own order, a bounded number of cohorts and
-- metrics.
WITH chosen AS (
    SELECT report_id, body, json_extract_string(body, '$.metric_order[*]') AS metric_order
    FROM reports
    WHERE report_id IN (SELECT unnest($report_ids::VARCHAR[]))
),
cohorts AS (
    SELECT
        report_id, metric_order, unnest(json_extract(body, '$.cohorts[*]')) AS cohort,
        generate_subscripts(json_extract(body, '$.cohorts[*]'), 1) AS place
    FROM chosen
),
cells AS (
    SELECT
        report_id, place, metric_order, json_extract_string(cohort, '$.cohort') AS cohort,
        json_extract_string(cohort, '$.decision') AS decision,
        unnest(json_extract(cohort, '$.metrics[*]')) AS metric
    FROM cohorts
    WHERE place <= $most_cohorts::BIGINT
)
SELECT
    report_id,
    place,
    cohort,
    decision,
    list_position(metric_order, json_extract_string(metric, '$.metric')) AS metric_place,
    json_extract_string(metric, '$.metric') AS metric, json_extract_string(metric, '$.verdict') AS verdict,
    json_extract_string(metric, '$.unit') AS unit, try_cast(json_extract_string(metric, '$.effect') AS DOUBLE) AS effect
FROM cells
WHERE list_position(metric_order, json_extract_string(metric, '$.metric')) <= $most_metrics::BIGINT
ORDER BY report_id, place, metric_place

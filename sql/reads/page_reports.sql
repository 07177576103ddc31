-- The reports of a promotion, those that speak of the latest moment first: one page of them.
SELECT
    report_id,
    as_of,
    generated_at,
    overall,
    json_extract_string(body, '$.headline') AS headline,
    count(*) OVER () AS reports
FROM reports
WHERE promotion = $promotion
ORDER BY as_of DESC, generated_at DESC, report_id
LIMIT $most::BIGINT OFFSET $passed_over::BIGINT

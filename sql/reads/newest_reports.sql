-- The newest promotions, each with its newest report by the moment it speaks of (NULL without one).
SELECT
    name,
    (
        SELECT arg_max(report_id, (as_of, generated_at))
        FROM reports
        WHERE reports.promotion = promotions.name
    ) AS report_id
FROM promotions
ORDER BY started_at DESC, name
LIMIT $most

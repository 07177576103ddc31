SELECT report_id, generated_at, body
FROM reports
WHERE promotion = $promotion AND starts_with(report_id, $report_id)
ORDER BY report_id
LIMIT 2

SELECT report_id, generated_at, body
FROM reports
WHERE starts_with(report_id, $prefix)
ORDER BY report_id
LIMIT 3

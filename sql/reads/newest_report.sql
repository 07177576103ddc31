SELECT report_id, generated_at, body
FROM reports
WHERE promotion = $promotion AND ($before::TIMESTAMP IS NULL OR as_of < $before)
ORDER BY as_of DESC, generated_at DESC, report_id
LIMIT 1

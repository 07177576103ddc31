-- The stored reports; what a terminal has no room for comes last.
SELECT
    report_id, promotion, as_of, overall, json_extract_string(body, '$.headline') AS headline,
    generated_at, data_watermark, fingerprint
FROM reports
WHERE $promotion::VARCHAR IS NULL OR promotion = $promotion
ORDER BY as_of DESC, generated_at DESC, report_id
LIMIT coalesce($limit::BIGINT, 9223372036854775807)

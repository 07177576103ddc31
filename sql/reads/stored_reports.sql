SELECT
    report_id, promotion, as_of, generated_at, overall, data_watermark, fingerprint,
    json_extract_string(body, '$.headline') AS headline
FROM reports
WHERE $promotion::VARCHAR IS NULL OR promotion = $promotion
ORDER BY as_of DESC, generated_at DESC, report_id
LIMIT coalesce($limit::BIGINT, 9223372036854775807)

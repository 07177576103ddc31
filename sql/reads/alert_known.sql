SELECT
    coalesce(max(number), 0) AS number,
    max(as_of) AS as_of,
    coalesce(bool_or(report_id = $report_id), FALSE) AS is_announced
FROM alert_announcements
WHERE stream = $stream

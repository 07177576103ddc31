SELECT recorded_at, change, promotion, cohort, metric, before, after, sentence, as_of, report_id, event_id
FROM alert_events
WHERE $promotion IS NULL OR promotion = $promotion
ORDER BY recorded_at DESC, promotion, cohort, metric, change
LIMIT $most

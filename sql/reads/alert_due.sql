SELECT delivery_id
FROM alert_deliveries
WHERE status = 'pending' AND next_attempt_at <= $now AND (claimed_until IS NULL OR claimed_until <= $now)
ORDER BY created_at, delivery_id

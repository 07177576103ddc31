SELECT delivery_id, purpose, channel, message, status, attempts, created_at, claim
FROM alert_deliveries
WHERE delivery_id IN (SELECT unnest($deliveries::VARCHAR[]))
ORDER BY created_at, delivery_id

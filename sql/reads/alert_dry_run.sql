SELECT delivery_id
FROM alert_deliveries
WHERE status = 'dry_run'
ORDER BY created_at DESC, delivery_id
LIMIT $most

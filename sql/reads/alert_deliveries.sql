SELECT
    delivery_id,
    created_at,
    purpose,
    channel,
    message ->> 'headline' AS headline,
    status,
    attempts,
    CASE WHEN status = 'pending' THEN next_attempt_at END AS next_attempt_at,
    last_error,
    ended_at
FROM alert_deliveries
ORDER BY created_at DESC, channel, delivery_id
LIMIT $most

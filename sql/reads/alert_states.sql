SELECT subject, metric, value, is_open
FROM alert_states
WHERE stream = $stream
ORDER BY ALL

SELECT channel, status, count(*) AS messages, arg_max(last_error, created_at) AS last_error
FROM alert_deliveries
WHERE
    (status = 'pending' AND last_error IS NOT NULL)
    OR (status IN ('failed', 'dropped') AND ended_at > $now::TIMESTAMP - INTERVAL 1 DAY)
GROUP BY ALL
ORDER BY ALL

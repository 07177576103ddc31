SELECT name
FROM promotions
WHERE name = $promotion AND started_at <= $now AND (ended_at IS NULL OR ended_at > $now)

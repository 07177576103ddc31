-- What retention deleted of the days of a comparison.
SELECT table_name, what, count(DISTINCT day) AS days, min(day) AS first_day, max(day) AS last_day
FROM pruned_days
WHERE day >= $since::TIMESTAMP::DATE AND day < $until::TIMESTAMP AND rows > 0
GROUP BY table_name, what
ORDER BY table_name, what

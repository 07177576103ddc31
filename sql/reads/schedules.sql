SELECT schedule, cron, time_zone, first_seen_at
FROM schedules

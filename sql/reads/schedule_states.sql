-- What became of the newest slot of each schedule.
SELECT schedule, slot, promotion, status, error
FROM schedule_runs
QUALIFY slot = max(slot) OVER (PARTITION BY schedule)
ORDER BY schedule, promotion

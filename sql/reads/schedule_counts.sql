SELECT schedule, status, count(*) AS runs, epoch(max(finished_at)) AS finished_at
FROM schedule_runs
GROUP BY schedule, status
ORDER BY schedule, status

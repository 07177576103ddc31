-- Scheduled reports, the newest slot first: what became of each, and how long it took.
SELECT
    schedule, slot, promotion, status, overall, error, report_id, attempts, started_at, finished_at,
    round(epoch(finished_at - started_at), 1) AS seconds
FROM schedule_runs
ORDER BY slot DESC, schedule, promotion

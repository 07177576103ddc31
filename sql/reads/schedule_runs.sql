-- What was done of the slots that matter now: those asked for, and whatever is not ended.
SELECT schedule, slot, promotion, status, attempts, holder, lease_until
FROM schedule_runs
WHERE slot >= $since::TIMESTAMP OR status = 'running'
ORDER BY schedule, slot, promotion

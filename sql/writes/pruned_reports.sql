-- Rows of a time, deleted by retention: `incoming` is one row with `since`, `until` and `pruned_at`.
-- What others build on stays: the newest report of a promotion, the newest announcement of a stream, the newest run
-- of a schedule; messages that are still to be sent are not old.
DELETE FROM alert_events
WHERE
    recorded_at >= (SELECT since FROM incoming)
    AND recorded_at < (SELECT until FROM incoming);

DELETE FROM alert_deliveries
WHERE
    ended_at >= (SELECT since FROM incoming)
    AND ended_at < (SELECT until FROM incoming);

DELETE FROM alert_announcements
WHERE
    announced_at >= (SELECT since FROM incoming)
    AND announced_at < (SELECT until FROM incoming)
    AND number < (SELECT max(number) FROM alert_announcements AS known WHERE known.stream = alert_announcements.stream)
    AND announcement_id NOT IN (SELECT announcement_id FROM alert_deliveries);

DELETE FROM schedule_runs
WHERE
    finished_at >= (SELECT since FROM incoming)
    AND finished_at < (SELECT until FROM incoming)
    AND slot < (SELECT max(slot) FROM schedule_runs AS known WHERE known.schedule = schedule_runs.schedule);

DELETE FROM calibrations
WHERE
    generated_at >= (SELECT since FROM incoming)
    AND generated_at < (SELECT until FROM incoming)
    AND generated_at
    < (SELECT max(generated_at) FROM calibrations AS known WHERE known.promotion = calibrations.promotion);

DELETE FROM reports
WHERE
    generated_at >= (SELECT since FROM incoming)
    AND generated_at < (SELECT until FROM incoming)
    AND generated_at < (SELECT max(generated_at) FROM reports AS known WHERE known.promotion = reports.promotion)

-- Only who holds the claim says how it goes: one that was taken over meanwhile changes nothing.
MERGE INTO schedule_runs AS stored
USING incoming
    ON
        stored.schedule = incoming.schedule
        AND stored.slot = incoming.slot
        AND stored.promotion = incoming.promotion
        AND stored.holder = incoming.holder
WHEN MATCHED AND stored.status = 'running' THEN UPDATE SET
    status = incoming.status,
    attempts = incoming.attempts,
    lease_until = incoming.lease_until,
    finished_at = incoming.finished_at,
    report_id = incoming.report_id,
    overall = incoming.overall,
    error = incoming.error

-- Whoever gets a row stored here makes the report, alone: nobody does while another run's lease holds, and what is done
-- or has failed stays so. A run whose lease is over lost its process; it is taken over.
MERGE INTO schedule_runs AS stored
USING (
    SELECT *
    FROM incoming
    WHERE NOT EXISTS (
        SELECT 1
        FROM schedule_runs AS other
        WHERE other.status = 'running' AND other.lease_until > incoming.started_at
    )
) AS claim
ON stored.schedule = claim.schedule AND stored.slot = claim.slot AND stored.promotion = claim.promotion
WHEN MATCHED AND stored.status = 'running' THEN UPDATE SET
    attempts = stored.attempts + 1,
    holder = claim.holder,
    lease_until = claim.lease_until,
    started_at = claim.started_at
WHEN NOT MATCHED THEN INSERT BY NAME

-- Deliveries that a process is about to send: those that are due, and that no other process is sending.
UPDATE alert_deliveries AS stored
SET claim = told.claim, claimed_until = told.claimed_until, attempts = stored.attempts + 1
FROM incoming AS told
WHERE
    stored.delivery_id = told.delivery_id
    AND stored.status = 'pending'
    AND stored.next_attempt_at <= told.claimed_at
    AND (stored.claimed_until IS NULL OR stored.claimed_until <= told.claimed_at)

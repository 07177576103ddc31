-- How sending went. A process whose claim has passed to another has nothing to say.
UPDATE alert_deliveries AS stored
SET
    status = told.status,
    next_attempt_at = coalesce(told.next_attempt_at, stored.next_attempt_at),
    last_error = told.last_error,
    ended_at = told.ended_at,
    claim = NULL,
    claimed_until = NULL
FROM incoming AS told
WHERE stored.delivery_id = told.delivery_id AND stored.claim = told.claim AND stored.status = 'pending'

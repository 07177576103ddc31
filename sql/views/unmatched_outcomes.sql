-- Outcomes that were looked for and match no trace that has arrived, by the most exact target that they name (`level`
-- is null where they name none). `hours_waited` counts from their arrival.
CREATE OR REPLACE VIEW unmatched_outcomes AS
SELECT
    lost.kind, outcomes.name, outcomes.source, outcomes.service_name,
    CASE
        WHEN lost.span_id IS NOT NULL THEN 'span'
        WHEN lost.trace_id IS NOT NULL THEN 'trace'
        WHEN lost.response_id IS NOT NULL THEN 'response'
        WHEN lost.conversation_id IS NOT NULL THEN 'conversation'
        WHEN lost.key IS NOT NULL THEN 'key'
    END AS level,
    coalesce(lost.span_id, lost.trace_id, lost.response_id, lost.conversation_id, lost.key) AS value,
    lost.event_time, outcomes.received_at,
    epoch((now() AT TIME ZONE 'UTC')::TIMESTAMP - outcomes.received_at) / 3600 AS hours_waited,
    lost.outcome_id
FROM (FROM open_outcomes WHERE level IS NULL) AS lost
INNER JOIN outcomes
    ON lost.event_time = outcomes.event_time AND lost.outcome_id = outcomes.outcome_id AND lost.kind = outcomes.kind;

-- Written after the rows it counts, in the same transaction. What was stored is counted in the tables themselves: no
-- two arrivals have the same received_at, and that equality prunes the join to what was just written.
INSERT INTO ingest_loads BY NAME
WITH arrived AS (
    SELECT signal, service_name, sum(accepted)::BIGINT AS accepted, sum(rejected)::BIGINT AS rejected
    FROM incoming
    GROUP BY signal, service_name
),
found AS (
    SELECT 'traces' AS signal, service_name, count(*) AS stored
    FROM live_spans SEMI JOIN incoming USING (received_at)
    GROUP BY service_name
    UNION ALL
    SELECT 'logs', service_name, count(*)
    FROM live_log_records SEMI JOIN incoming USING (received_at)
    GROUP BY service_name
    UNION ALL
    -- A word that a later one replaced has been stored as well. Who sends feedback is no service.
    SELECT 'feedback', NULL, count(*)
    FROM (
        SELECT received_at FROM feedback
        UNION ALL
        SELECT received_at FROM superseded_feedback
    ) AS said
    SEMI JOIN (FROM incoming WHERE signal = 'feedback') AS came USING (received_at)
)
SELECT
    (SELECT max(journal_sequence) FROM incoming) AS journal_sequence,
    (now() AT TIME ZONE 'UTC')::TIMESTAMP AS loaded_at,
    arrived.signal,
    arrived.service_name,
    accepted,
    coalesce(stored, 0) AS stored,
    rejected,
    accepted - rejected - coalesce(stored, 0) AS duplicate
FROM arrived LEFT JOIN found
    ON arrived.signal = found.signal AND arrived.service_name IS NOT DISTINCT FROM found.service_name

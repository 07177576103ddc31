-- Where every record was new, nothing has to be counted in the tables.
INSERT INTO ingest_loads BY NAME
SELECT
    max(journal_sequence) AS journal_sequence,
    (now() AT TIME ZONE 'UTC')::TIMESTAMP AS loaded_at,
    signal,
    service_name,
    sum(accepted)::BIGINT AS accepted,
    sum(accepted - rejected)::BIGINT AS stored,
    sum(rejected)::BIGINT AS rejected,
    0 AS duplicate
FROM incoming
GROUP BY signal, service_name

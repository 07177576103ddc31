-- What each service sent and what became of it: accepted = stored + rejected + duplicate, for traces in spans and for
-- logs in log records.
CREATE OR REPLACE VIEW ingest_ledger AS
SELECT
    service_name,
    signal,
    sum(accepted)::BIGINT AS accepted,
    sum(stored)::BIGINT AS stored,
    sum(rejected)::BIGINT AS rejected,
    sum(duplicate)::BIGINT AS duplicate,
    min(loaded_at) AS first_loaded_at,
    max(loaded_at) AS last_loaded_at
FROM ingest_loads
GROUP BY service_name, signal;

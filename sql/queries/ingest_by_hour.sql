-- What each service sent by hour of arrival, and what became of it: accepted = stored + rejected + duplicate.
SELECT
    date_trunc('hour', loaded_at) AS hour, service_name, signal, sum(accepted) AS accepted, sum(stored) AS stored,
    sum(rejected) AS rejected, sum(duplicate) AS duplicate
FROM ingest_loads
GROUP BY ALL
ORDER BY hour DESC, service_name, signal

-- Traces whose calls are to be derived anew: those with a call since a moment, of a model (each may be null for any).
INSERT INTO stale_traces BY NAME
SELECT DISTINCT calls.trace_id, (now() AT TIME ZONE 'UTC')::TIMESTAMP AS marked_at
FROM calls, incoming
WHERE
    (since IS NULL OR calls.start_time >= since)
    AND (model IS NULL OR calls.request_model = model OR calls.response_model = model)

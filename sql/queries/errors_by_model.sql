-- Failed model calls by model and error: how many, what part of the model's calls, since when, and the last trace.
WITH failed AS (
    SELECT
        provider,
        request_model,
        error_type,
        count(*) AS errors,
        min(start_time) AS first_seen,
        max(start_time) AS last_seen,
        arg_max(trace_id, start_time) AS last_trace
    FROM llm_calls
    WHERE status_code = 'ERROR'
    GROUP BY ALL
),
asked AS (
    SELECT provider, request_model, count(*) AS calls
    FROM llm_calls
    GROUP BY ALL
)
SELECT
    failed.provider, failed.request_model, failed.error_type, failed.errors,
    round(100 * failed.errors / asked.calls, 2) AS percent_of_calls,
    failed.first_seen,
    failed.last_seen,
    failed.last_trace
FROM failed
INNER JOIN asked
    ON
        failed.provider IS NOT DISTINCT FROM asked.provider
        AND failed.request_model IS NOT DISTINCT FROM asked.request_model
ORDER BY failed.errors DESC, failed.provider, failed.request_model, failed.error_type

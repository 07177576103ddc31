-- How often each tool failed, with what error, how long it ran, and the last trace in which it failed.
SELECT
    coalesce(tool_name, name) AS tool, service_name, count(*) AS runs,
    count(*) FILTER (WHERE status_code = 'ERROR') AS errors, round(100 * errors / runs, 2) AS error_percent,
    mode(error_type) FILTER (WHERE status_code = 'ERROR') AS usual_error,
    round(quantile_cont(duration_ns / 1e6, 0.5), 1) AS p50_ms,
    round(quantile_cont(duration_ns / 1e6, 0.99), 1) AS p99_ms,
    arg_max(trace_id, start_time) FILTER (WHERE status_code = 'ERROR') AS last_failed_trace
FROM spans
WHERE gen_ai_span_kind = 'TOOL'
GROUP BY ALL
ORDER BY errors DESC, runs DESC, tool, service_name

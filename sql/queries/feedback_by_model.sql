-- Feedback that names a trace, by the models the trace called.
SELECT
    trace_totals.request_models,
    feedback_by_trace.name,
    count(*) AS feedback_rows,
    sum(feedback_by_trace.value) AS happened
FROM feedback_by_trace
INNER JOIN trace_totals ON feedback_by_trace.trace_id = trace_totals.trace_id
GROUP BY ALL
ORDER BY trace_totals.request_models, feedback_by_trace.name

-- Spans of one commit that another commit has as well.
SELECT start_time, span_id, trace_id, service_name
FROM live_spans SEMI JOIN (
    SELECT start_time, span_id, trace_id
    FROM live_spans
    WHERE received_at <> $stamp
) AS others USING (start_time, span_id, trace_id)
WHERE received_at = $stamp

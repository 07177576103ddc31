-- Feedback beside the trace it names directly; feedback by conversation or application key is joined in the report.
CREATE OR REPLACE VIEW feedback_by_trace AS
SELECT
    coalesce(feedback.trace_id, span_of_feedback.trace_id, span_of_response.trace_id) AS trace_id,
    feedback.name, feedback.value, feedback.label, feedback.source, feedback.comment, feedback.event_time,
    feedback.conversation_id, feedback.key
FROM feedback
LEFT JOIN (SELECT span_id, min(trace_id) AS trace_id FROM spans GROUP BY span_id) AS span_of_feedback
    ON feedback.trace_id IS NULL AND feedback.span_id = span_of_feedback.span_id
LEFT JOIN (SELECT response_id, min(trace_id) AS trace_id FROM spans WHERE response_id IS NOT NULL GROUP BY response_id)
    AS span_of_response
    ON feedback.trace_id IS NULL AND feedback.response_id = span_of_response.response_id;

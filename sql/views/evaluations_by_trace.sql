-- Evaluator results beside the trace they judge; a result whose trace has not arrived has no trace row.
CREATE OR REPLACE VIEW evaluations_by_trace AS
SELECT
    coalesce(evaluations.trace_id, span_of_response.trace_id) AS trace_id,
    evaluations.name, evaluations.score, evaluations.label, evaluations.explanation, evaluations.evaluator_version,
    evaluations.event_time, evaluations.service_name, evaluations.span_id, evaluations.response_id
FROM evaluations
LEFT JOIN (SELECT response_id, min(trace_id) AS trace_id FROM spans WHERE response_id IS NOT NULL GROUP BY response_id)
    AS span_of_response
    ON evaluations.trace_id IS NULL AND evaluations.response_id = span_of_response.response_id;

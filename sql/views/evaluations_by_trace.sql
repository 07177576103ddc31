-- Evaluator results beside the traces they judge, once for each; one that matches nothing yet stands beside the trace
-- that it names itself, if it does (`matched_by` is null).
CREATE OR REPLACE VIEW evaluations_by_trace AS
SELECT
    coalesce(matched.trace_id, evaluations.trace_id) AS trace_id, matched.level AS matched_by,
    evaluations.name, evaluations.score, evaluations.label, evaluations.explanation, evaluations.evaluator_version,
    evaluations.event_time, evaluations.service_name, evaluations.span_id, evaluations.response_id,
    evaluations.conversation_id, evaluations.evaluation_id
FROM evaluations
LEFT JOIN (FROM outcome_matches WHERE kind = 'evaluation') AS matched
    ON evaluations.event_time = matched.event_time AND evaluations.evaluation_id = matched.outcome_id;

-- Feedback beside the traces it speaks of, once for each; a row that matches nothing yet stands beside the trace that
-- it names itself, if it does (`matched_by` is null).
CREATE OR REPLACE VIEW feedback_by_trace AS
SELECT
    coalesce(matched.trace_id, feedback.trace_id) AS trace_id, matched.level AS matched_by,
    feedback.name, feedback.value, feedback.label, feedback.source, feedback.comment, feedback.event_time,
    feedback.conversation_id, feedback.key, feedback.feedback_id
FROM feedback
LEFT JOIN (FROM outcome_matches WHERE kind = 'feedback') AS matched
    ON feedback.event_time = matched.event_time AND feedback.feedback_id = matched.outcome_id;

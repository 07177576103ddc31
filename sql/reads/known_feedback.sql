-- Whether any of the feedback to be written is stored already, or comes twice.
WITH arrived AS (
    SELECT
        feedback_identity(id, trace_id, span_id, response_id, conversation_id, key, name, source) AS feedback_id
    FROM incoming
)
SELECT
    EXISTS (FROM feedback SEMI JOIN arrived USING (feedback_id))
    OR (SELECT count(*) > count(DISTINCT feedback_id) FROM arrived) AS known

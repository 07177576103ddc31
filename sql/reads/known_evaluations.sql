-- Whether any of the evaluations to be written is stored already, or comes twice.
WITH arrived AS (
    SELECT
        evaluation_identity(trace_id, span_id, response_id, conversation_id, event_time, attributes, name, annotator,
            identifier, source) AS evaluation_id,
        md5_number_lower(evaluation_id) AS evaluation_number
    FROM (FROM incoming UNION ALL BY NAME (SELECT * EXCLUDE (evaluation_id, evaluation_number) FROM evaluations LIMIT 0))
)
SELECT
    EXISTS (FROM evaluations SEMI JOIN arrived USING (evaluation_number))
    OR (SELECT count(*) > count(DISTINCT evaluation_id) FROM arrived) AS known

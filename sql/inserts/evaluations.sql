-- Evaluations of which none is stored: there is nothing to replace.
CREATE OR REPLACE TEMP TABLE arrived AS
SELECT
    evaluation_identity(
        trace_id, span_id, response_id, conversation_id, event_time, attributes, name, annotator,
        identifier, source
    ) AS evaluation_id,
    md5_number_lower(evaluation_id) AS evaluation_number,
    *
FROM (
    FROM incoming
    UNION ALL BY NAME
    (SELECT * EXCLUDE (evaluation_id, evaluation_number) FROM evaluations LIMIT 0)
);
INSERT INTO new_outcomes SELECT 'evaluation', evaluation_id, event_time FROM arrived;
INSERT INTO evaluations BY NAME FROM arrived

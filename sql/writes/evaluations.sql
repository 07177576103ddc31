-- The same score may come as a span event and as a log record, at slightly different times: time is no part of
-- an evaluation's identity.
MERGE INTO evaluations AS stored
USING (
    SELECT
        md5(concat_ws(chr(31), coalesce(trace_id, ''), coalesce(span_id, ''), coalesce(response_id, ''), name,
            coalesce(score::VARCHAR, ''), coalesce(label, ''), coalesce(explanation, ''),
            coalesce(evaluator_version, ''))) AS evaluation_id,
        *
    FROM incoming
    QUALIFY row_number() OVER (PARTITION BY evaluation_id ORDER BY event_time) = 1
) AS incoming_evaluation
ON stored.evaluation_id = incoming_evaluation.evaluation_id
WHEN NOT MATCHED THEN INSERT BY NAME

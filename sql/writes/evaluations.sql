-- The same score may come as a span event and as a log record, at slightly different times: time is no part of
-- an evaluation's identity. A result that names no target has nothing but its time and attributes to be known by.
MERGE INTO evaluations AS stored
USING (
    SELECT
        md5(concat_ws(chr(31), coalesce(trace_id, ''), coalesce(span_id, ''), coalesce(response_id, ''),
            coalesce(conversation_id, ''), coalesce(source, ''), name,
            coalesce(score::VARCHAR, ''), coalesce(label, ''), coalesce(explanation, ''),
            coalesce(evaluator_version, ''),
            CASE WHEN coalesce(trace_id, response_id, conversation_id) IS NULL
                THEN concat_ws(chr(30), event_time, attributes) ELSE '' END)) AS evaluation_id,
        *
    FROM incoming
    QUALIFY row_number() OVER (PARTITION BY evaluation_id ORDER BY event_time) = 1
) AS incoming_evaluation
ON stored.evaluation_id = incoming_evaluation.evaluation_id
WHEN NOT MATCHED THEN INSERT BY NAME

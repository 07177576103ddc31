-- A row is known by its own id where it has one, else by everything it says. Of two with the same id the later holds.
MERGE INTO feedback AS stored
USING (
    SELECT * EXCLUDE (id),
        md5(concat_ws(chr(31), name, coalesce(source, ''), coalesce(id, concat_ws(chr(30), event_time,
            coalesce(value::VARCHAR, ''), coalesce(label, ''), coalesce(trace_id, ''), coalesce(span_id, ''),
            coalesce(response_id, ''), coalesce(conversation_id, ''), coalesce(key, ''), coalesce(comment, ''), coalesce(attributes, '')))))
            AS feedback_id
    FROM incoming
    QUALIFY row_number() OVER (PARTITION BY feedback_id ORDER BY event_time DESC) = 1
) AS incoming_feedback
ON stored.feedback_id = incoming_feedback.feedback_id
WHEN NOT MATCHED THEN INSERT BY NAME
WHEN MATCHED AND incoming_feedback.event_time > stored.event_time THEN UPDATE BY NAME

-- What would become of rows of feedback, one answer for each that has a number: whether it is new, says again what is
-- known, or corrects an earlier word (sql/writes/feedback.sql); and whether any of its keys is among the spans.
WITH said AS (
    SELECT
        row_number,
        feedback_identity(id, trace_id, span_id, response_id, conversation_id, key, name, source) AS feedback_id,
        feedback_content(value, label, comment, attributes, trace_id, span_id, response_id, conversation_id, key) AS content,
        event_time,
        received_at,
        row_number AS place
    FROM incoming
),
versions AS (
    FROM said
    UNION ALL BY NAME
    SELECT
        NULL AS row_number,
        place,
        feedback_id,
        feedback_content(value, label, comment, attributes, trace_id, span_id, response_id, conversation_id, key) AS content,
        event_time,
        received_at
    FROM (SELECT 0 AS place, * FROM feedback UNION ALL BY NAME SELECT -1 AS place, * FROM superseded_feedback)
    WHERE feedback_id IN (SELECT feedback_id FROM said)
),
fresh AS (
    SELECT *
    FROM versions
    WINDOW of_moment AS (PARTITION BY feedback_id, event_time, content)
    QUALIFY row_number IS NULL
        OR place = max(place) OVER of_moment AND bool_and(row_number IS NOT NULL) OVER of_moment
),
compared AS (
    SELECT
        row_number,
        content IS NOT DISTINCT FROM lag(content) OVER in_time AS says_the_same,
        row_number() OVER in_time = 1 AS is_first,
        bool_or(row_number IS NULL) OVER of_identity AS is_known,
        min(content) FILTER (WHERE place >= 0) OVER of_identity = max(content) FILTER (WHERE place >= 0) OVER of_identity
            AS is_undisputed
    FROM fresh
    WINDOW
        of_identity AS (PARTITION BY feedback_id),
        in_time AS (PARTITION BY feedback_id ORDER BY event_time, received_at, place, content)
),
matched AS (
    SELECT row_number FROM incoming SEMI JOIN spans USING (trace_id)
    UNION
    SELECT row_number
    FROM incoming INNER JOIN (SELECT DISTINCT span_id, trace_id FROM spans) AS found USING (span_id)
    WHERE incoming.trace_id IS NULL OR incoming.trace_id = found.trace_id
    UNION
    SELECT row_number FROM incoming SEMI JOIN spans USING (response_id)
    UNION
    SELECT row_number FROM incoming SEMI JOIN spans USING (conversation_id)
    UNION
    SELECT row_number
    FROM incoming SEMI JOIN (
        SELECT json_extract_string(attributes, $key_path::VARCHAR) AS key FROM spans WHERE $key_path IS NOT NULL
        UNION ALL
        SELECT json_extract_string(attributes, $key_path::VARCHAR) FROM resources
        WHERE $key_path IS NOT NULL AND resource_id IN (SELECT resource_id FROM spans)
    ) AS keys USING (key)
)
SELECT
    row_number,
    CASE
        WHEN is_known IS NULL THEN 'repeat'
        WHEN is_undisputed THEN if(is_known OR NOT is_first, 'repeat', 'new')
        WHEN says_the_same THEN 'repeat'
        WHEN is_known OR NOT is_first THEN 'correction'
        ELSE 'new'
    END AS becomes,
    row_number IN (SELECT row_number FROM matched) AS is_matched
FROM incoming LEFT JOIN compared USING (row_number)
ORDER BY row_number

-- Whether any of the evaluations to be written is stored already, comes twice, or may be a copy by another carrier.
WITH arrived AS (
    SELECT
        evaluation_identity(
            trace_id, span_id, response_id, conversation_id, event_time, attributes, name, annotator,
            identifier, source
        ) AS evaluation_id,
        md5_number_lower(evaluation_id) AS evaluation_number,
        span_id,
        name,
        carrier
    FROM
        (
            FROM incoming
            UNION ALL BY NAME
            (SELECT * EXCLUDE (evaluation_id, evaluation_number) FROM evaluations LIMIT 0)
        )
),
around AS (
    SELECT span_id, name, carrier FROM arrived
    UNION ALL
    SELECT span_id, name, carrier
    FROM (
        SELECT span_id, name, carrier, event_time FROM evaluations
        UNION ALL
        SELECT span_id, name, carrier, event_time FROM superseded_evaluations
    )
    WHERE
        event_time >= (SELECT min(event_time) FROM incoming) - INTERVAL 1 HOUR
        AND event_time <= (SELECT max(event_time) FROM incoming) + INTERVAL 1 HOUR
)
SELECT
    EXISTS (FROM evaluations SEMI JOIN arrived USING (evaluation_number))
    OR (SELECT count(*) > count(DISTINCT evaluation_id) FROM arrived)
    OR EXISTS (
        FROM around INNER JOIN arrived USING (span_id, name) WHERE around.carrier <> arrived.carrier
    ) AS known

-- Spans and answers that outcomes name, and their traces, among the spans that began in a report's window.
WITH said AS (
    SELECT span_id, response_id FROM evaluations WHERE event_time < $until::TIMESTAMP_NS
    UNION ALL
    SELECT span_id, response_id FROM superseded_evaluations WHERE event_time < $until::TIMESTAMP_NS
    UNION ALL
    SELECT span_id, response_id FROM feedback WHERE event_time < $until::TIMESTAMP_NS
    UNION ALL
    SELECT span_id, response_id FROM superseded_feedback WHERE event_time < $until::TIMESTAMP_NS
)
SELECT DISTINCT trace_id, span_id, NULL::VARCHAR AS response_id
FROM spans
WHERE
    start_time >= $since::TIMESTAMP_NS AND start_time < $until::TIMESTAMP_NS
    AND span_id IN (SELECT span_id FROM said WHERE span_id IS NOT NULL)
UNION ALL
SELECT DISTINCT trace_id, NULL, response_id
FROM spans
WHERE
    start_time >= $since::TIMESTAMP_NS AND start_time < $until::TIMESTAMP_NS
    AND response_id IN (SELECT response_id FROM said WHERE response_id IS NOT NULL)

-- The application's key of each trace among the spans that arrived in a window: on a span, else on its resource.
SELECT key, trace_id, min(start_time) AS start_time
FROM (
    SELECT
        coalesce(
            nullif(json_extract_string(spans.attributes, $key_path::VARCHAR), ''),
            nullif(json_extract_string(known.attributes, $key_path::VARCHAR), '')
        ) AS key,
        spans.trace_id,
        spans.start_time
    FROM spans
    LEFT JOIN (SELECT resource_id, any_value(attributes) AS attributes FROM resources GROUP BY resource_id) AS known
        USING (resource_id)
    WHERE spans.received_at > $spans_after::TIMESTAMP AND spans.received_at <= $spans_through::TIMESTAMP
)
WHERE key IS NOT NULL
GROUP BY key, trace_id

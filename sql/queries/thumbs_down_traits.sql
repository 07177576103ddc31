-- What traces with a thumbs down have in common: the fifty traits of rated traces that came most often with one.
WITH rated AS (
    SELECT trace_id, bool_or(value > 0) AS is_down
    FROM feedback_by_trace
    WHERE name = 'thumbs_down' AND trace_id IS NOT NULL
    GROUP BY trace_id
),
roots AS (
    SELECT spans.trace_id, spans.attributes, unnest(json_keys(spans.attributes)) AS trait
    FROM rated
    INNER JOIN spans ON rated.trace_id = spans.trace_id AND spans.parent_span_id IS NULL
),
traits AS (
    SELECT
        trace_id, trait,
        json_extract_string(attributes, '/' || replace(replace(trait, '~', '~0'), '/', '~1')) AS value
    FROM roots
    UNION
    SELECT
        spans.trace_id,
        unnest(['model', 'tool', 'error', 'finish reason']) AS trait,
        unnest([spans.request_model, spans.tool_name, spans.error_type, spans.finish_reasons[1]]) AS value
    FROM rated
    INNER JOIN spans ON rated.trace_id = spans.trace_id
)
SELECT
    traits.trait, traits.value, count(*) AS rated_traces, count(*) FILTER (WHERE rated.is_down) AS thumbs_down,
    round(100 * thumbs_down / rated_traces, 1) AS percent_down,
    round(100 * thumbs_down / rated_traces - (SELECT 100 * avg(is_down::INTEGER) FROM rated), 1) AS points_above_all
FROM traits
INNER JOIN rated ON traits.trace_id = rated.trace_id
WHERE traits.value IS NOT NULL AND strlen(traits.value) <= 200
GROUP BY traits.trait, traits.value
HAVING count(*) >= 20 AND count(*) < (SELECT count(*) FROM rated)
ORDER BY points_above_all DESC, rated_traces DESC, traits.trait, traits.value
LIMIT 50

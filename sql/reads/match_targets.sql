-- The traces in which a span, trace, response, conversation or key is known, among the spans that began in a window; of
-- one value a bounded number.
SELECT level, value, trace_id
FROM (
    SELECT DISTINCT 'span' AS level, span_id AS value, trace_id
    FROM spans
    WHERE
        start_time BETWEEN $since::TIMESTAMP_NS AND $until::TIMESTAMP_NS
        AND span_id IN (SELECT unnest($span_ids::VARCHAR[]))
    UNION ALL
    SELECT DISTINCT 'trace', trace_id AS value, trace_id
    FROM spans
    WHERE
        start_time BETWEEN $since::TIMESTAMP_NS AND $until::TIMESTAMP_NS
        AND trace_id IN (SELECT unnest($trace_ids::VARCHAR[]))
    UNION ALL
    SELECT DISTINCT 'response', response_id, trace_id
    FROM spans
    WHERE
        start_time BETWEEN $since::TIMESTAMP_NS AND $until::TIMESTAMP_NS
        AND response_id IN (SELECT unnest($response_ids::VARCHAR[]))
    UNION ALL
    SELECT DISTINCT 'conversation', conversation_id, trace_id
    FROM spans
    WHERE
        start_time BETWEEN $since::TIMESTAMP_NS AND $until::TIMESTAMP_NS
        AND conversation_id IN (SELECT unnest($conversation_ids::VARCHAR[]))
    UNION ALL
    SELECT DISTINCT 'key', key, trace_id
    FROM trace_keys
    WHERE
        start_time BETWEEN $since::TIMESTAMP_NS AND $until::TIMESTAMP_NS
        AND key IN (SELECT unnest($keys::VARCHAR[]))
)
QUALIFY row_number() OVER (PARTITION BY level, value ORDER BY trace_id) <= $most_traces::BIGINT

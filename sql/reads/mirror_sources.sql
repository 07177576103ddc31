-- The traces that mirrored requests were part of: by the gateway's request id on a span, or by the trace id itself;
-- what they say of cohort and user, the root first, then the earliest span.
WITH asked AS (
    SELECT DISTINCT request_id, lower(replace(request_id, '-', '')) AS as_trace_id
    FROM mirror_pairs
    WHERE
        source_model = $base AND shadow_model = $candidate
        AND created_at >= $since::TIMESTAMP_NS AND created_at < $until::TIMESTAMP_NS
),
near AS (
    SELECT
        trace_id, parent_span_id, start_time, user_id, conversation_id, resource_id, attributes,
        json_extract_string(attributes, '/agentcc.request_id') AS request_id
    FROM spans
    WHERE start_time >= $since::TIMESTAMP_NS - INTERVAL 1 DAY AND start_time < $until::TIMESTAMP_NS
),
found AS (
    SELECT asked.request_id, trace_id FROM near JOIN asked USING (request_id)
    UNION
    SELECT asked.request_id, trace_id FROM near JOIN asked ON near.trace_id = asked.as_trace_id
),
told AS (
    SELECT
        trace_id, resource_id, user_id, conversation_id,
        nullif(json_extract_string(attributes, $cohort_path), '') AS cohort_value,
        { 'below': parent_span_id IS NOT NULL, 'start_time': start_time } AS place
    FROM near
    WHERE trace_id IN (SELECT trace_id FROM found)
),
described AS (
    SELECT
        trace_id,
        arg_min(cohort_value, place) FILTER (WHERE cohort_value IS NOT NULL) AS cohort_value,
        arg_min(nullif(user_id, ''), place) FILTER (WHERE nullif(user_id, '') IS NOT NULL) AS user_id,
        arg_min(nullif(conversation_id, ''), place) FILTER (WHERE nullif(conversation_id, '') IS NOT NULL)
            AS conversation_id,
        arg_min(resource_id, place) AS resource_id
    FROM told
    GROUP BY trace_id
)
SELECT request_id, min(trace_id) AS trace_id, arg_min(COLUMNS(described.* EXCLUDE (trace_id)), trace_id)
FROM found JOIN described USING (trace_id)
GROUP BY request_id
ORDER BY request_id

-- Every span of some traces as its line in a waterfall, a bounded number of each trace; of two reports of one span the
-- later.
WITH shown AS (
    SELECT
        trace_id, span_id, nullif(parent_span_id, '') AS parent_span_id, left(name, 1000) AS name,
        epoch_ns(start_time) AS start_ns, epoch_ns(end_time) AS end_ns, status_code,
        left(status_message, 2000) AS status_message,
        error_type,
        service_name,
        gen_ai_span_kind,
        operation,
        request_model,
        response_model, tool_name, agent_name, guardrail_name, input_tokens, output_tokens,
        count(*) OVER (PARTITION BY trace_id) AS spans
    FROM spans
    WHERE
        trace_id IN (SELECT unnest($trace_ids::VARCHAR[]))
        AND ($since::TIMESTAMP_NS IS NULL OR start_time >= $since::TIMESTAMP_NS)
        AND ($until::TIMESTAMP_NS IS NULL OR start_time < $until::TIMESTAMP_NS)
    QUALIFY row_number() OVER (PARTITION BY trace_id ORDER BY start_time, span_id, end_time) <= $most_spans::BIGINT
),
costs AS (
    SELECT trace_id, span_id, any_value(cost_usd)::DOUBLE AS cost_usd
    FROM calls
    WHERE
        is_counted
        AND trace_id IN (SELECT unnest($trace_ids::VARCHAR[]))
        AND ($since::TIMESTAMP_NS IS NULL OR start_time >= $since::TIMESTAMP_NS)
        AND ($until::TIMESTAMP_NS IS NULL OR start_time < $until::TIMESTAMP_NS)
    GROUP BY trace_id, span_id
)
SELECT *
FROM shown LEFT JOIN costs USING (trace_id, span_id)
QUALIFY row_number() OVER (PARTITION BY trace_id, span_id ORDER BY start_ns DESC, end_ns DESC) = 1
ORDER BY trace_id, start_ns, span_id

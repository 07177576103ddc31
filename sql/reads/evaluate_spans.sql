-- What evaluators read of some traces: their model calls, tools, retrievals, what leads to them and roots, a bounded
-- number of each trace. Content that is too large is left out.
SELECT
    spans.trace_id, spans.span_id, spans.parent_span_id, spans.start_time::TIMESTAMP AS start_time,
    epoch_ns(spans.start_time) AS start_ns, spans.gen_ai_span_kind, spans.request_model,
    spans.prompt_name, spans.tool_name,
    coalesce(calls.is_call AND calls.is_counted, FALSE) AS is_counted_call,
    CASE WHEN strlen(spans.attributes) <= $most_bytes THEN spans.attributes END AS attributes,
    CASE WHEN strlen(spans.events) <= $most_bytes THEN spans.events END AS events,
    strlen(spans.attributes) > $most_bytes OR coalesce(strlen(spans.events) > $most_bytes, FALSE) AS too_large
FROM spans LEFT JOIN calls USING (trace_id, span_id)
WHERE
    spans.trace_id IN (SELECT unnest($trace_ids::VARCHAR[]))
    AND (
        spans.parent_span_id IS NULL
        OR spans.gen_ai_span_kind IN ('LLM', 'TOOL', 'RETRIEVER', 'RERANKER', 'AGENT', 'CHAIN')
    )
QUALIFY
    row_number() OVER (PARTITION BY spans.trace_id ORDER BY spans.parent_span_id IS NOT NULL, spans.start_time)
    <= $most_spans::BIGINT
ORDER BY spans.trace_id, spans.parent_span_id IS NOT NULL, spans.start_time, spans.span_id

-- One row per trace: what its root says, how long it took, which models it called. What was said of it afterwards, on
-- spans of its own, made it no longer.
CREATE OR REPLACE VIEW trace_totals AS
SELECT
    trace_id,
    min(start_time) AS start_time,
    coalesce(
        max(duration_ns) FILTER (WHERE parent_span_id IS NULL AND gen_ai_span_kind IS DISTINCT FROM 'EVALUATOR'),
        epoch_ns(max(end_time) FILTER (WHERE gen_ai_span_kind IS DISTINCT FROM 'EVALUATOR'))
        - epoch_ns(min(start_time)),
        epoch_ns(max(end_time)) - epoch_ns(min(start_time))
    ) / 1e6 AS latency_ms,
    arg_min(service_name, start_time) AS service_name,
    arg_min(name, start_time) AS name,
    max(conversation_id) AS conversation_id,
    max(user_id) AS user_id,
    count(*) AS spans,
    count(*) FILTER (WHERE gen_ai_span_kind = 'LLM') AS llm_spans,
    list_sort(list(DISTINCT request_model) FILTER (WHERE request_model IS NOT NULL)) AS request_models,
    count(*) FILTER (WHERE status_code = 'ERROR') AS error_spans
FROM spans
GROUP BY trace_id;

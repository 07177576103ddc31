-- Spans of model calls by the hour in which they began, from a moment on.
SELECT date_trunc('hour', start_time) AS begins, count(*) AS calls
FROM spans
WHERE gen_ai_span_kind IN ('LLM', 'EMBEDDING', 'AGENT', 'CHAIN') AND start_time >= $since::TIMESTAMP_NS
GROUP BY begins
ORDER BY begins

-- Spans that carry tokens which do not count again, and why.
SELECT not_counted_because, gen_ai_span_kind, service_name, count(*) AS spans, sum(input_tokens) AS input_tokens
FROM calls
WHERE not_counted_because IS NOT NULL
GROUP BY ALL
ORDER BY spans DESC, not_counted_because

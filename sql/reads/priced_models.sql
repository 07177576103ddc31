-- Who was asked for which model, who answered, and in which service tier, as far as it decides about the price.
SELECT DISTINCT provider, request_model, response_model, server_address, service_tier
FROM spans
WHERE gen_ai_span_kind IN ('LLM', 'EMBEDDING') AND coalesce(request_model, response_model) IS NOT NULL
ORDER BY ALL

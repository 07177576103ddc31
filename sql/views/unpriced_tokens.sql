-- The ledger of what has no price: by model, calls and tokens whose cost is unknown, and since when.
CREATE OR REPLACE VIEW unpriced_tokens AS
SELECT
    provider,
    request_model,
    response_model,
    count(*) AS calls,
    sum(unpriced_tokens)::BIGINT AS unpriced_tokens,
    count(*) FILTER (WHERE input_tokens IS NULL OR output_tokens IS NULL) AS calls_without_counts,
    min(start_time) AS first_seen,
    max(start_time) AS last_seen
FROM calls
WHERE is_counted AND cost_usd IS NULL
GROUP BY provider, request_model, response_model;

-- What part of the input tokens came from a prompt cache: at least, and among calls that tell.
SELECT
    service_name, request_model, count(*) AS calls,
    count(*) FILTER (WHERE cache_read_tokens IS NULL) AS calls_that_tell_nothing,
    count(*) FILTER (WHERE cache_read_tokens > 0) AS calls_with_a_hit,
    sum(input_tokens) AS input_tokens, sum(cache_read_tokens) AS cache_read_tokens,
    round(100 * sum(cache_read_tokens) / nullif(sum(input_tokens), 0), 1) AS percent_at_least,
    round(100 * sum(cache_read_tokens) / nullif(
        sum(input_tokens) FILTER (WHERE cache_read_tokens IS NOT NULL), 0
    ), 1) AS percent_where_told
FROM calls
WHERE is_counted AND is_call
GROUP BY service_name, request_model
ORDER BY service_name, request_model

-- Why answers ended, by model: `length` is an answer that was cut off.
WITH ended AS (
    SELECT request_model, output_tokens, unnest(coalesce(finish_reasons, [NULL])) AS finish_reason
    FROM llm_calls
    WHERE operation IS DISTINCT FROM 'embeddings' AND status_code <> 'ERROR'
)
SELECT
    request_model, finish_reason, count(*) AS answers,
    round(100 * count(*) / sum(count(*)) OVER (PARTITION BY request_model), 2) AS percent,
    round(avg(output_tokens), 1) AS mean_output_tokens
FROM ended
GROUP BY request_model, finish_reason
ORDER BY request_model, answers DESC

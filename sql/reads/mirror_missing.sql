-- Requests that the gateway answered with the source's model while it mirrored, of which no pair is stored.
WITH pairs AS (
    SELECT request_id, created_at
    FROM mirror_pairs
    WHERE
        source_model = $base AND shadow_model = $candidate
        AND created_at >= $since::TIMESTAMP_NS AND created_at < $until::TIMESTAMP_NS
),
answered AS (
    SELECT DISTINCT json_extract_string(attributes, '/agentcc.request_id') AS request_id
    FROM spans
    WHERE
        coalesce(request_model, response_model) = $base
        AND start_time BETWEEN (SELECT min(created_at) FROM pairs) AND (SELECT max(created_at) FROM pairs)
)
SELECT count(*) AS missing
FROM answered ANTI JOIN pairs USING (request_id)
WHERE request_id IS NOT NULL

-- The pairs of one comparison.
SELECT * EXCLUDE (attributes, prompt_hash, received_at)
FROM mirror_pairs
WHERE
    source_model = $base AND shadow_model = $candidate
    AND created_at >= $since::TIMESTAMP_NS AND created_at < $until::TIMESTAMP_NS
ORDER BY created_at, request_id, experiment_id

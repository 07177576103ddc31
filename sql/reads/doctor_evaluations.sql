-- What evaluators said of late, as far as passed or failed is read from it.
SELECT * EXCLUDE (attributes, explanation)
FROM evaluations
WHERE error_type IS NULL AND received_at > (SELECT max(received_at) FROM evaluations) - INTERVAL 7 DAYS
LIMIT $most::BIGINT

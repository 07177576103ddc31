-- What evaluators had said by a moment: of each identity the word that stood then.
SELECT * EXCLUDE (attributes, explanation)
FROM (FROM evaluations UNION ALL BY NAME FROM superseded_evaluations)
WHERE event_time < $until::TIMESTAMP_NS
QUALIFY row_number() OVER (PARTITION BY evaluation_id ORDER BY event_time DESC, received_at DESC) = 1

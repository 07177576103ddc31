-- What users and business systems had said by a moment: of each identity the word that stood then.
SELECT * EXCLUDE (attributes, comment)
FROM (FROM feedback UNION ALL BY NAME FROM superseded_feedback)
WHERE event_time < $until::TIMESTAMP_NS
QUALIFY row_number() OVER (PARTITION BY feedback_id ORDER BY event_time DESC, received_at DESC) = 1

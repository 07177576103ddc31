SELECT as_of, body
FROM calibrations
WHERE promotion = $promotion AND fingerprint = $fingerprint AND as_of <= $as_of
ORDER BY as_of DESC, generated_at DESC
LIMIT 1

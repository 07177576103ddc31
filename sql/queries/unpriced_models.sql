-- Models whose calls have no known cost, the most tokens first; `spanverdict prices check` says what to write.
SELECT provider, request_model, response_model, calls, unpriced_tokens, calls_without_counts, first_seen, last_seen
FROM unpriced_tokens
ORDER BY unpriced_tokens DESC, calls DESC

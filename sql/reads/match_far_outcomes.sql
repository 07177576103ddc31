-- Open outcomes that have only been looked for among the spans around their own time.
SELECT kind, outcome_id, event_time, trace_id, span_id, response_id, conversation_id, key, level, TRUE AS is_stored
FROM open_outcomes
WHERE look_back
ORDER BY event_time, outcome_id
LIMIT $most::BIGINT

-- The twenty dearest conversations: traces, tokens and cost; tokens without a price are told apart.
WITH conversations AS (
    SELECT trace_id, max(conversation_id) AS conversation_id, max(user_id) AS user_id
    FROM spans
    WHERE conversation_id IS NOT NULL
    GROUP BY trace_id
)
SELECT
    conversations.conversation_id, max(conversations.user_id) AS user_id, count(*) AS traces,
    sum(costs.calls) AS calls, sum(costs.input_tokens) AS input_tokens, sum(costs.output_tokens) AS output_tokens,
    round(sum(costs.priced_cost_usd), 6) AS priced_cost_usd, sum(costs.unpriced_tokens) AS unpriced_tokens,
    min(costs.start_time) AS first_seen, max(costs.start_time) AS last_seen
FROM conversations
INNER JOIN trace_costs AS costs ON conversations.trace_id = costs.trace_id
GROUP BY conversations.conversation_id
ORDER BY priced_cost_usd DESC NULLS LAST, unpriced_tokens DESC, conversations.conversation_id
LIMIT 20

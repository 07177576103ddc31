-- Who sends what lies in the future by the clock here, among what arrived of late: how far, and how much.
WITH told AS (
    SELECT 'spans' AS what, service_name AS source, start_time::TIMESTAMP AS moment, received_at
    FROM spans
    WHERE received_at > (SELECT max(received_at) FROM spans) - INTERVAL 1 DAY
    UNION ALL
    SELECT kind, coalesce(source, service_name), event_time::TIMESTAMP, received_at
    FROM outcomes
    WHERE received_at > (SELECT max(received_at) FROM outcomes) - INTERVAL 1 DAY
)
SELECT what, source, count(*) AS records, max(epoch(moment) - epoch(received_at)) AS seconds
FROM told
WHERE moment > received_at + to_seconds($seconds::BIGINT)
GROUP BY what, source
ORDER BY records DESC, what, source
LIMIT $most::BIGINT

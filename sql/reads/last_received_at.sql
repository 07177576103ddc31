-- The latest arrival in the store.
SELECT max(received_at) AS received_at
FROM (
    SELECT max(received_at) AS received_at FROM spans
    UNION ALL
    SELECT max(received_at) FROM log_records
    UNION ALL
    SELECT max(received_at) FROM feedback
)

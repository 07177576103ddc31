-- The latest arrival in the store.
SELECT max(received_at) AS received_at
FROM (
    SELECT max(received_at) AS received_at FROM live_spans
    UNION ALL
    SELECT max(received_at) FROM live_log_records
    UNION ALL
    SELECT max(received_through) FROM archived_files
    UNION ALL
    SELECT max(received_at) FROM feedback
)

-- The store's file, and the last backup.
SELECT
    total_blocks * block_size AS size_bytes,
    free_blocks * block_size AS free_bytes,
    (SELECT max(made_at) FROM backups) AS backed_up_at,
    (SELECT arg_max(path, made_at) FROM backups) AS backed_up_to,
    least(
        (SELECT min(received_at) FROM live_spans), (SELECT min(received_through) FROM archived_files)
    ) AS first_received_at
FROM pragma_database_size()

-- Of which schema a store is, and how far its calls have been derived; null while some are to be derived anew.
SELECT
    (SELECT max(version) FROM schema_migrations) AS store_version,
    CASE WHEN NOT EXISTS (FROM stale_traces) THEN spans_through END AS spans_through,
    evaluations_through,
    derived_at
FROM derivations

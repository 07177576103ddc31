-- What a backup holds, for a person: rows of the tables that matter, and which days its spans are of.
SELECT
    (SELECT max(version) FROM schema_migrations) AS store_version,
    (SELECT count(*) FROM spans) AS spans,
    (SELECT min(start_time)::TIMESTAMP FROM spans) AS first_span_at,
    (SELECT max(start_time)::TIMESTAMP FROM spans) AS last_span_at,
    (SELECT count(*) FROM log_records) AS log_records,
    (SELECT count(*) FROM feedback) AS feedback,
    (SELECT count(*) FROM evaluations) AS evaluations,
    (SELECT count(*) FROM promotions) AS promotions,
    (SELECT count(*) FROM reports) AS reports

-- The text of every view.
SELECT view_name AS table_name, sql AS definition
FROM duckdb_views()
WHERE schema_name = 'main' AND NOT internal
ORDER BY view_name

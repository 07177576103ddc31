-- The columns of one table or view, in their order.
SELECT column_name AS name, data_type AS type
FROM information_schema.columns
WHERE table_schema = 'main' AND table_catalog = current_database() AND table_name = $relation
ORDER BY ordinal_position

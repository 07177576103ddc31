-- What data set items expect.
SELECT dataset, item_id, expected
FROM dataset_items
WHERE item_id IN (SELECT unnest($item_ids::VARCHAR[])) AND expected IS NOT NULL

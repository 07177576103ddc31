SELECT item_id, cohort, input, expected, attributes, imported_at
FROM dataset_items
WHERE dataset = $dataset
ORDER BY item_id

-- An item is known by its data set and id; a changed one replaces, one that is the same is left as it is.
MERGE INTO dataset_items AS stored
USING incoming
ON stored.dataset = incoming.dataset AND stored.item_id = incoming.item_id
WHEN MATCHED AND (
    stored.input::VARCHAR IS DISTINCT FROM incoming.input
    OR stored.cohort IS DISTINCT FROM incoming.cohort
    OR stored.expected::VARCHAR IS DISTINCT FROM incoming.expected
    OR stored.attributes::VARCHAR IS DISTINCT FROM incoming.attributes
) THEN UPDATE SET
    input = incoming.input,
    cohort = incoming.cohort,
    expected = incoming.expected,
    attributes = incoming.attributes,
    imported_at = incoming.imported_at
WHEN NOT MATCHED THEN INSERT BY NAME

SELECT
    dataset,
    count(*) AS items,
    count(DISTINCT cohort) AS cohorts,
    count(expected) AS with_expected,
    max(imported_at) AS imported_at
FROM dataset_items
GROUP BY dataset
ORDER BY dataset

SELECT
    name, base, candidate, design, started_at, ended_at, cohort_by, candidate_share, created_at, dataset, planned_end,
    stratify_by
FROM promotions
ORDER BY started_at, name

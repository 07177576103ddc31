SELECT name, base, candidate, design, started_at, ended_at, cohort_by, candidate_share, created_at, dataset
FROM promotions
ORDER BY started_at, name

SELECT
    name, base, candidate, design, started_at, ended_at, cohort_by, candidate_share, created_at, dataset, planned_end,
    coalesce(stratify_by, []) AS stratify_by,
    coalesce(
        (
            SELECT list({ 'since': since, 'candidate_share': shares.candidate_share } ORDER BY since)
            FROM promotion_shares AS shares
            WHERE shares.promotion = promotions.name
        ),
        []
    ) AS share_changes
FROM promotions
ORDER BY started_at, name

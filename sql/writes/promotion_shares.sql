-- What was said of a moment later holds.
MERGE INTO promotion_shares AS stored
USING incoming
ON stored.promotion = incoming.promotion AND stored.since = incoming.since
WHEN MATCHED AND stored.created_at < incoming.created_at
    THEN UPDATE SET candidate_share = incoming.candidate_share, created_at = incoming.created_at
WHEN NOT MATCHED THEN INSERT BY NAME

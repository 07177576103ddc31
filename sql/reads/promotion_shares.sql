SELECT since, candidate_share
FROM promotion_shares
WHERE promotion = $promotion
ORDER BY since

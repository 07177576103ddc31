MERGE INTO promotions AS stored
USING incoming
    ON stored.name = incoming.name AND stored.ended_at IS NULL
WHEN MATCHED THEN UPDATE SET ended_at = incoming.ended_at

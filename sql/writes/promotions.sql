MERGE INTO promotions AS stored
USING incoming
ON stored.name = incoming.name
WHEN NOT MATCHED THEN INSERT BY NAME

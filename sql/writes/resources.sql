MERGE INTO resources AS stored
USING incoming
ON stored.resource_id = incoming.resource_id
WHEN NOT MATCHED THEN INSERT BY NAME

MERGE INTO reports AS stored
USING incoming
ON stored.report_id = incoming.report_id
WHEN NOT MATCHED THEN INSERT BY NAME

-- A file may be imported again from its beginning; how far it has been taken never goes back.
MERGE INTO imports AS stored
USING incoming
ON stored.content_id = incoming.content_id
WHEN MATCHED THEN UPDATE SET
    path = incoming.path,
    records_done = greatest(stored.records_done, incoming.records_done),
    updated_at = incoming.updated_at,
    finished_at = coalesce(incoming.finished_at, stored.finished_at)
WHEN NOT MATCHED THEN INSERT BY NAME

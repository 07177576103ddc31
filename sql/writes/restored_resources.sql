-- Resources that an export brings back: they keep the time at which they were received, also in a lake.
INSERT INTO resources BY NAME
FROM incoming ANTI JOIN resources AS stored USING (resource_id)

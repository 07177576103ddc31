-- Keys of traces, if they were read by the attribute that holds now.
INSERT INTO trace_keys BY NAME
SELECT key, trace_id, start_time
FROM incoming SEMI JOIN matchings USING (key_attribute)

-- Whether any of the rows to be written is stored already. Only the three columns that identify a span take part in the
-- join; the MERGE carries every column through it.
SELECT exists(FROM live_spans SEMI JOIN incoming USING (start_time, span_id, trace_id)) AS known

-- Calls that an export brings back, with the costs they had. Those that were derived here stay.
INSERT INTO calls BY NAME
FROM incoming
ANTI JOIN (FROM calls SEMI JOIN incoming USING (start_time)) AS stored
    ON
        incoming.start_time = stored.start_time
        AND incoming.span_id = stored.span_id
        AND incoming.trace_id = stored.trace_id

-- Calls that an export brings back, with the costs they had. Those that were derived here stay.
INSERT INTO calls BY NAME
FROM incoming
ANTI JOIN (FROM calls SEMI JOIN incoming USING (start_time)) AS stored
    ON stored.start_time = incoming.start_time AND stored.span_id = incoming.span_id AND stored.trace_id = incoming.trace_id

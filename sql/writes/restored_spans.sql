-- Spans that an export brings back, and what has to be derived of them: nothing, where their calls come too and the
-- store knew nothing of their traces. `derived_through` is how far the exporting store had derived; `into_empty` says
-- that this import began in a store without spans.
CREATE OR REPLACE TEMP TABLE arrived AS
FROM incoming
-- Asked by start time first, which prunes by zone maps.
ANTI JOIN (FROM live_spans SEMI JOIN incoming USING (start_time)) AS stored
    ON
        incoming.start_time = stored.start_time
        AND incoming.span_id = stored.span_id
        AND incoming.trace_id = stored.trace_id;

CREATE OR REPLACE TEMP TABLE known AS
SELECT DISTINCT trace_id FROM spans SEMI JOIN (FROM arrived WHERE NOT into_empty) USING (trace_id);

INSERT INTO stale_traces BY NAME
SELECT DISTINCT trace_id, (now() AT TIME ZONE 'UTC')::TIMESTAMP AS marked_at
FROM arrived
WHERE
    -- What is later the next derivation sees by itself.
    received_at <= (SELECT max(spans_through) FROM derivations)
    AND (
        derived_through IS NULL
        OR received_at > derived_through
        OR trace_id IN (FROM known)
    );

-- A process that derives or matches meanwhile has read what no longer holds; outcomes that wait look at these traces
-- too.
UPDATE derivations SET number = number + 1 WHERE EXISTS (FROM arrived);
UPDATE matchings SET
    number = number + 1,
    spans_through = least(spans_through, (SELECT min(received_at) FROM arrived) - INTERVAL 1 MICROSECOND)
WHERE EXISTS (FROM arrived);

INSERT INTO live_spans BY NAME SELECT * EXCLUDE (derived_through, into_empty) FROM arrived;
SELECT count(*) FROM arrived

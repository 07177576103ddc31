-- The calls of some traces, derived anew. Nothing is written if another process has derived since (`after_number`). A
-- row without a span id only says that its trace was looked at.
SET VARIABLE looked_since = (SELECT min(since) FROM incoming);

SET VARIABLE looked_until = (SELECT max(until) FROM incoming);

-- Of a trace whose spans lie further apart, the calls that were not looked at stay.
DELETE FROM calls
WHERE
    start_time BETWEEN getvariable('looked_since') AND getvariable('looked_until')
    AND trace_id IN (SELECT trace_id FROM incoming)
    AND EXISTS (FROM derivations SEMI JOIN incoming ON number = after_number);

INSERT INTO calls BY NAME
SELECT * EXCLUDE (after_number, spans_through, evaluations_through, stale_through, marked_through, since, until)
FROM incoming
WHERE span_id IS NOT NULL AND EXISTS (FROM derivations SEMI JOIN incoming ON number = after_number);

DELETE FROM stale_traces
WHERE
    (trace_id IN (SELECT trace_id FROM incoming) OR trace_id <= (SELECT max(stale_through) FROM incoming))
    AND marked_at <= (SELECT max(marked_through) FROM incoming)
    AND EXISTS (FROM derivations SEMI JOIN incoming ON number = after_number);

UPDATE derivations SET
    number = number + 1,
    spans_through = told.spans_through,
    evaluations_through = told.evaluations_through,
    derived_at = told.derived_at
FROM (SELECT DISTINCT after_number, spans_through, evaluations_through, derived_at FROM incoming) AS told
WHERE number = told.after_number

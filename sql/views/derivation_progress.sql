-- How far calls, chains and costs have been derived from what is stored.
CREATE OR REPLACE VIEW derivation_progress AS
SELECT
    derived_at,
    spans_through,
    (SELECT count(*) FROM live_spans WHERE received_at > (SELECT max(spans_through) FROM derivations)) AS spans_left,
    (SELECT count(DISTINCT trace_id) FROM stale_traces) AS traces_left
FROM derivations;

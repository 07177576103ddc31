-- Outcomes that were looked at, one row for each trace found and one where none was. Nothing is written if another
-- process has matched since (`after_number`). A row without an outcome only says how far the spans have been looked at.
CREATE OR REPLACE TEMP TABLE looked_at AS
SELECT *
FROM incoming
WHERE EXISTS (FROM matchings SEMI JOIN incoming ON number = after_number);

DELETE FROM outcome_matches
USING (SELECT DISTINCT kind, outcome_id, event_time FROM looked_at WHERE is_more_exact) AS gone
WHERE outcome_matches.event_time = gone.event_time AND outcome_matches.outcome_id = gone.outcome_id
    AND outcome_matches.kind = gone.kind;

CREATE OR REPLACE TEMP TABLE known AS
SELECT kind, outcome_id, trace_id
FROM outcome_matches
SEMI JOIN looked_at ON outcome_matches.event_time = looked_at.event_time AND outcome_matches.outcome_id = looked_at.outcome_id;

INSERT INTO outcome_matches BY NAME
SELECT DISTINCT kind, outcome_id, event_time, matched_trace_id AS trace_id, level, matched_at
FROM looked_at
ANTI JOIN known
    ON known.outcome_id = looked_at.outcome_id AND known.kind = looked_at.kind
    AND known.trace_id = looked_at.matched_trace_id
WHERE matched_trace_id IS NOT NULL;

DELETE FROM new_outcomes
USING (SELECT DISTINCT kind, outcome_id, event_time FROM looked_at WHERE outcome_id IS NOT NULL) AS done
WHERE new_outcomes.event_time = done.event_time AND new_outcomes.outcome_id = done.outcome_id
    AND new_outcomes.kind = done.kind;

DELETE FROM open_outcomes
USING (SELECT DISTINCT kind, outcome_id, event_time FROM looked_at WHERE outcome_id IS NOT NULL) AS done
WHERE open_outcomes.event_time = done.event_time AND open_outcomes.outcome_id = done.outcome_id
    AND open_outcomes.kind = done.kind;

INSERT INTO open_outcomes BY NAME
SELECT DISTINCT kind, outcome_id, event_time, trace_id, span_id, response_id, conversation_id, key, level, look_back
FROM looked_at
WHERE is_open;

UPDATE matchings SET number = number + 1, spans_through = told.spans_through, matched_at = told.matched_at
FROM (SELECT DISTINCT after_number, spans_through, matched_at FROM looked_at) AS told
WHERE number = told.after_number

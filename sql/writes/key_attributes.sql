-- Another attribute holds the application's key (null: none does): what was found by the old one goes, and everything
-- that arrived is looked at once more. Evaluations may carry the new one themselves, so they are looked for from the
-- start.
DELETE FROM trace_keys;
DELETE FROM outcome_matches WHERE level = 'key';
UPDATE open_outcomes SET level = NULL WHERE level = 'key';
INSERT INTO new_outcomes SELECT kind, outcome_id, event_time FROM open_outcomes WHERE kind = 'evaluation';
DELETE FROM open_outcomes WHERE kind = 'evaluation';
UPDATE matchings SET
    number = number + 1,
    spans_through = '1970-01-01',
    key_attribute = (SELECT any_value(key_attribute) FROM incoming)

-- How far the calls of an export had been derived, taken over by a store that has no spans.
UPDATE derivations SET
    number = number + 1,
    spans_through = told.spans_through,
    evaluations_through = told.evaluations_through,
    derived_at = told.derived_at
FROM incoming AS told
WHERE NOT EXISTS (FROM spans)

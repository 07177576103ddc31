-- How far calls have been derived.
SELECT number, spans_through, evaluations_through FROM derivations

SELECT * EXCLUDE (attributes, explanation) FROM evaluations WHERE event_time < $until::TIMESTAMP_NS

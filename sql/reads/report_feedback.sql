SELECT * EXCLUDE (attributes, comment) FROM feedback WHERE event_time < $until::TIMESTAMP_NS

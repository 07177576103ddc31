-- How far outcomes have been matched, and by which attribute their keys.
SELECT number, spans_through AS spans_after, key_attribute FROM matchings

-- How far the journal has been loaded.
SELECT coalesce(max(journal_sequence), 0) AS journal_sequence FROM ingest_loads

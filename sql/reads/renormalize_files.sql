-- Archived files with spans that an older version of the normaliser wrote.
SELECT file FROM archived_files WHERE oldest_normalizer < $version::INTEGER ORDER BY day

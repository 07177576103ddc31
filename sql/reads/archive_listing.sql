-- Every file of the archive that is known: listed, or replaced since a moment.
SELECT file, NULL::TIMESTAMP AS replaced_at FROM archived_files
UNION ALL
SELECT file, replaced_at FROM replaced_files

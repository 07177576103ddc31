-- Files that are listed no more and that have been removed.
DELETE FROM replaced_files USING incoming WHERE replaced_files.file = incoming.file

INSERT INTO backups BY NAME
FROM incoming

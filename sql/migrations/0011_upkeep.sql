-- Upkeep: backups that were made, and what retention deleted. Why: docs/upkeep.md.

CREATE TABLE backups (
    made_at TIMESTAMP NOT NULL,
    path VARCHAR NOT NULL,
    size_bytes BIGINT NOT NULL,
    spans BIGINT NOT NULL
);

-- What was deleted of a UTC day: its rows, or the content of its rows that had arrived by a time. A day has several rows
-- where late ones were deleted later.
CREATE TABLE pruned_days (
    table_name VARCHAR NOT NULL,
    day DATE NOT NULL,
    what VARCHAR NOT NULL,
    rows BIGINT NOT NULL,
    received_through TIMESTAMP,
    pruned_at TIMESTAMP NOT NULL
);

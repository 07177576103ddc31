-- Copies of whole stores (`spanverdict migrate`): which store this one is a copy of, and, until it is whole, which slices of
-- it are here. Why: docs/shared-store.md.

CREATE TABLE transfers (
    source VARCHAR NOT NULL,
    source_state VARCHAR NOT NULL,
    begun_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP
);

CREATE TABLE transferred_slices (
    table_name VARCHAR NOT NULL,
    slice VARCHAR NOT NULL,
    rows BIGINT NOT NULL,
    transferred_at TIMESTAMP NOT NULL
);

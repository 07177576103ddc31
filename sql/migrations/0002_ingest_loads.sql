-- What came in, counted: one row for each load from the journal, service and signal. The last sequence says how far the
-- journal has been loaded; it is written with the rows it speaks of, in one transaction.

CREATE TABLE ingest_loads (
    journal_sequence BIGINT NOT NULL,
    loaded_at TIMESTAMP NOT NULL,
    signal VARCHAR NOT NULL,
    service_name VARCHAR,
    accepted BIGINT NOT NULL,
    stored BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    duplicate BIGINT NOT NULL
);

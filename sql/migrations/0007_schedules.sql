-- Scheduled reports: since when a schedule is known, and what became of each of its slots. Why: docs/scheduling.md.

CREATE TABLE schedules (
    schedule VARCHAR NOT NULL,
    cron VARCHAR NOT NULL,
    time_zone VARCHAR NOT NULL,
    first_seen_at TIMESTAMP NOT NULL
);

CREATE TABLE schedule_runs (
    schedule VARCHAR NOT NULL,
    slot TIMESTAMP NOT NULL,
    promotion VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    attempts INTEGER NOT NULL,
    holder VARCHAR NOT NULL,
    lease_until TIMESTAMP NOT NULL,
    started_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP,
    report_id VARCHAR,
    overall VARCHAR,
    error VARCHAR
);

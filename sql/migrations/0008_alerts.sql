-- Alerts: what was announced, what changed by it, what is known since, and the messages that are sent. Why: docs/alerts.md.

-- One row for each report, failed run or guard's finding that was told of. Within a stream ("reports/NAME", "guard/NAME",
-- "runs/NAME") the number goes up by one, so that of two processes that announce at once one finds that it was overtaken.
CREATE TABLE alert_announcements (
    announcement_id VARCHAR NOT NULL,
    stream VARCHAR NOT NULL,
    number BIGINT NOT NULL,
    report_id VARCHAR,
    as_of TIMESTAMP NOT NULL,
    announced_at TIMESTAMP NOT NULL
);

-- What is known of a stream since its last announcement. The subject is a cohort: the verdict of each of its metrics, and its
-- decision (without a metric); of runs it is the schedule.
CREATE TABLE alert_states (
    stream VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    metric VARCHAR,
    value VARCHAR NOT NULL,
    is_open BOOLEAN NOT NULL
);

CREATE TABLE alert_events (
    event_id VARCHAR NOT NULL,
    announcement_id VARCHAR NOT NULL,
    change VARCHAR NOT NULL,
    promotion VARCHAR,
    cohort VARCHAR,
    metric VARCHAR,
    before VARCHAR,
    after VARCHAR,
    sentence VARCHAR NOT NULL,
    facts JSON NOT NULL,
    report_id VARCHAR,
    as_of TIMESTAMP NOT NULL,
    recorded_at TIMESTAMP NOT NULL
);

CREATE TABLE alert_deliveries (
    delivery_id VARCHAR NOT NULL,
    announcement_id VARCHAR NOT NULL,
    purpose VARCHAR NOT NULL,
    channel VARCHAR NOT NULL,
    message JSON NOT NULL,
    status VARCHAR NOT NULL,
    attempts BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    next_attempt_at TIMESTAMP NOT NULL,
    claim VARCHAR,
    claimed_until TIMESTAMP,
    last_error VARCHAR,
    ended_at TIMESTAMP
);

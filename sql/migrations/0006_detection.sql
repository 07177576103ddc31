-- Detection: a declared end, strata and changing shares of a promotion; what calibrations found. Why: docs/statistics.md.

ALTER TABLE promotions ADD COLUMN planned_end TIMESTAMP;
ALTER TABLE promotions ADD COLUMN stratify_by VARCHAR[];

CREATE TABLE promotion_shares (
    promotion VARCHAR NOT NULL,
    since TIMESTAMP NOT NULL,
    candidate_share DOUBLE NOT NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE calibrations (
    calibration_id VARCHAR NOT NULL,
    promotion VARCHAR NOT NULL,
    as_of TIMESTAMP NOT NULL,
    generated_at TIMESTAMP NOT NULL,
    fingerprint VARCHAR NOT NULL,
    body JSON NOT NULL
);

-- Evaluations that an export brings back: those that stand and those that were replaced (`stands`). Of one identity
-- what comes later stands; what is stored already is not stored again.
CREATE OR REPLACE TEMP TABLE known AS
SELECT
    evaluation_content(
        score, label, explanation, error_type, evaluator_version, judge_model, threshold, higher_is
    ) AS content,
    *
FROM (
    SELECT *, TRUE AS stands FROM evaluations
    UNION ALL BY NAME
    SELECT *, FALSE AS stands FROM superseded_evaluations
)
WHERE evaluation_id IN (SELECT evaluation_id FROM incoming);

CREATE OR REPLACE TEMP TABLE told AS
FROM (
    SELECT
        evaluation_content(
            score, label, explanation, error_type, evaluator_version, judge_model, threshold, higher_is
        ) AS content,
        *
    FROM incoming
) AS brought
ANTI JOIN known
    ON
        known.evaluation_id = brought.evaluation_id
        AND known.event_time = brought.event_time
        AND known.content = brought.content;

CREATE OR REPLACE TEMP TABLE versions AS
SELECT
    *,
    row_number() OVER (
        PARTITION BY evaluation_id ORDER BY event_time DESC, received_at DESC, stands DESC, content DESC
    ) AS age
FROM (
    FROM known SEMI JOIN told USING (evaluation_id)
    UNION ALL BY NAME
    FROM told
);

-- What is new, or says something else than before, is looked for.
CREATE OR REPLACE TEMP TABLE changed AS
SELECT
    versions.evaluation_id AS outcome_id,
    versions.event_time
FROM versions
ANTI JOIN (FROM known WHERE stands) AS stood
    ON
        versions.evaluation_id = stood.evaluation_id
        AND versions.event_time = stood.event_time
        AND versions.content = stood.content
WHERE versions.age = 1;

DELETE FROM superseded_evaluations WHERE evaluation_id IN (SELECT evaluation_id FROM versions);
INSERT INTO superseded_evaluations BY NAME SELECT * EXCLUDE (content, age, stands) FROM versions WHERE age > 1;
DELETE FROM evaluations WHERE evaluation_id IN (SELECT outcome_id FROM changed);
INSERT INTO evaluations BY NAME
SELECT * EXCLUDE (content, age, stands) FROM versions
WHERE age = 1 AND evaluation_id IN (SELECT outcome_id FROM changed);

DELETE FROM outcome_matches WHERE kind = 'evaluation' AND outcome_id IN (SELECT outcome_id FROM changed);
DELETE FROM open_outcomes WHERE kind = 'evaluation' AND outcome_id IN (SELECT outcome_id FROM changed);
DELETE FROM new_outcomes WHERE kind = 'evaluation' AND outcome_id IN (SELECT outcome_id FROM changed);
INSERT INTO new_outcomes SELECT 'evaluation', outcome_id, event_time FROM changed;

-- What a validator found may change the calls that were derived here.
INSERT INTO stale_traces BY NAME
SELECT DISTINCT trace_id, (now() AT TIME ZONE 'UTC')::TIMESTAMP AS marked_at
FROM told
WHERE trace_id IN (SELECT trace_id FROM calls);

-- A process that matches meanwhile has read what no longer holds.
UPDATE matchings SET number = number + 1 WHERE EXISTS (FROM changed);
SELECT count(*) FROM told

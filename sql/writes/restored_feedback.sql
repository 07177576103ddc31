-- Rows of feedback that an export brings back: those that stand and those that were replaced (`stands`). Of one
-- identity what comes later stands; what is stored already is not stored again.
CREATE OR REPLACE TEMP TABLE known AS
SELECT
    feedback_content(
        value, label, comment, attributes, trace_id, span_id, response_id, conversation_id, key
    ) AS content,
    *
FROM (
    SELECT *, TRUE AS stands FROM feedback
    UNION ALL BY NAME
    SELECT *, FALSE AS stands FROM superseded_feedback
)
WHERE feedback_id IN (SELECT feedback_id FROM incoming);

CREATE OR REPLACE TEMP TABLE told AS
FROM (
    SELECT
        feedback_content(
            value, label, comment, attributes, trace_id, span_id, response_id, conversation_id, key
        ) AS content,
        *
    FROM incoming
) AS brought
ANTI JOIN known
    ON
        known.feedback_id = brought.feedback_id
        AND known.event_time = brought.event_time
        AND known.content = brought.content;

CREATE OR REPLACE TEMP TABLE versions AS
SELECT
    *,
    row_number() OVER (
        PARTITION BY feedback_id ORDER BY event_time DESC, received_at DESC, stands DESC, content DESC
    ) AS age
FROM (
    FROM known SEMI JOIN told USING (feedback_id)
    UNION ALL BY NAME
    FROM told
);

-- What is new, or says something else than before, is looked for.
CREATE OR REPLACE TEMP TABLE changed AS
SELECT
    versions.feedback_id AS outcome_id,
    versions.event_time
FROM versions
ANTI JOIN (FROM known WHERE stands) AS stood
    ON
        versions.feedback_id = stood.feedback_id
        AND versions.event_time = stood.event_time
        AND versions.content = stood.content
WHERE versions.age = 1;

DELETE FROM superseded_feedback WHERE feedback_id IN (SELECT feedback_id FROM versions);
INSERT INTO superseded_feedback BY NAME SELECT * EXCLUDE (content, age, stands) FROM versions WHERE age > 1;
DELETE FROM feedback WHERE feedback_id IN (SELECT outcome_id FROM changed);
INSERT INTO feedback BY NAME
SELECT * EXCLUDE (content, age, stands) FROM versions
WHERE age = 1 AND feedback_id IN (SELECT outcome_id FROM changed);

DELETE FROM outcome_matches WHERE kind = 'feedback' AND outcome_id IN (SELECT outcome_id FROM changed);
DELETE FROM open_outcomes WHERE kind = 'feedback' AND outcome_id IN (SELECT outcome_id FROM changed);
DELETE FROM new_outcomes WHERE kind = 'feedback' AND outcome_id IN (SELECT outcome_id FROM changed);
INSERT INTO new_outcomes SELECT 'feedback', outcome_id, event_time FROM changed;

-- A process that matches meanwhile has read what no longer holds.
UPDATE matchings SET number = number + 1 WHERE EXISTS (FROM changed);
SELECT count(*) FROM told

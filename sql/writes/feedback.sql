-- A row is known by its own id where it has one, else by the most exact target it names, its name and its source. Of
-- one identity what comes later holds, of one moment what was said last, and what it replaces is kept; the same content
-- is a repetition, not a change, and so is what was said of that moment before, unless a request of another key says
-- it, and whatever a request says again that has been taken already. Files and older journals say nothing of requests.
CREATE OR REPLACE TEMP TABLE arrived AS
SELECT
    feedback_identity(id, trace_id, span_id, response_id, conversation_id, key, name, source) AS feedback_id,
    feedback_content(value, label, comment, attributes, trace_id, span_id, response_id, conversation_id, key) AS content,
    row_number() OVER () AS place,
    * EXCLUDE (id)
FROM (SELECT NULL::VARCHAR AS idempotency_key WHERE false UNION ALL BY NAME FROM incoming);

CREATE OR REPLACE TEMP TABLE known AS
SELECT
    feedback_content(value, label, comment, attributes, trace_id, span_id, response_id, conversation_id, key) AS content,
    *
FROM feedback
WHERE feedback_id IN (SELECT feedback_id FROM arrived);

-- A request that is sent again while the first still waits comes with it, and later.
DELETE FROM arrived
WHERE idempotency_key IS NOT NULL AND EXISTS (
    SELECT 1 FROM arrived AS earlier
    WHERE earlier.feedback_id = arrived.feedback_id AND earlier.idempotency_key = arrived.idempotency_key
        AND earlier.received_at < arrived.received_at
);

DELETE FROM arrived
WHERE idempotency_key IS NOT NULL AND EXISTS (
    SELECT 1 FROM (
        SELECT feedback_id, idempotency_key FROM known
        UNION ALL
        SELECT feedback_id, idempotency_key FROM superseded_feedback
    ) AS taken
    WHERE taken.feedback_id = arrived.feedback_id AND taken.idempotency_key = arrived.idempotency_key
);

CREATE OR REPLACE TEMP TABLE versions AS
WITH contradicted AS (
    SELECT feedback_id
    FROM (SELECT feedback_id, content FROM arrived UNION ALL SELECT feedback_id, content FROM known)
    GROUP BY feedback_id
    HAVING count(DISTINCT content) > 1
),
said AS (
    SELECT true AS is_new, * FROM arrived
    UNION ALL BY NAME
    SELECT false AS is_new, 0 AS place, * FROM known
    UNION ALL BY NAME
    SELECT
        false AS is_new,
        -1 AS place,
        feedback_content(value, label, comment, attributes, trace_id, span_id, response_id, conversation_id, key) AS content,
        *
    FROM superseded_feedback
),
fresh AS (
    SELECT *
    FROM said
    WHERE feedback_id IN (SELECT feedback_id FROM contradicted)
    WINDOW of_moment AS (PARTITION BY feedback_id, event_time, content)
    QUALIFY NOT is_new
        OR place = max(place) OVER of_moment AND (idempotency_key IS NOT NULL OR bool_and(is_new) OVER of_moment)
),
changes AS (
    SELECT *
    FROM fresh
    QUALIFY content IS DISTINCT FROM
        lag(content) OVER (PARTITION BY feedback_id ORDER BY event_time, received_at, place, content)
)
SELECT
    *,
    row_number() OVER (
        PARTITION BY feedback_id ORDER BY event_time DESC, received_at DESC, place DESC, content DESC
    ) AS age
FROM changes;

DELETE FROM superseded_feedback WHERE feedback_id IN (SELECT feedback_id FROM versions);
INSERT INTO superseded_feedback BY NAME SELECT * EXCLUDE (content, age, is_new, place) FROM versions WHERE age > 1;

CREATE OR REPLACE TEMP TABLE standing AS
SELECT * EXCLUDE (age) FROM versions WHERE age = 1 AND is_new
UNION ALL BY NAME
SELECT true AS is_new, *
FROM arrived
WHERE feedback_id NOT IN (SELECT feedback_id FROM known)
    AND feedback_id NOT IN (SELECT feedback_id FROM versions)
QUALIFY row_number() OVER (PARTITION BY feedback_id ORDER BY event_time, received_at, place) = 1;

DELETE FROM feedback WHERE feedback_id IN (SELECT feedback_id FROM standing);
INSERT INTO feedback BY NAME SELECT * EXCLUDE (content, is_new, place) FROM standing;

-- What is new, or speaks of something else than before, is looked for; the rest keeps its traces.
CREATE OR REPLACE TEMP TABLE corrected AS
SELECT
    standing.feedback_id AS outcome_id,
    standing.event_time,
    (known.trace_id, known.span_id, known.response_id, known.conversation_id, known.key)
    IS DISTINCT FROM (standing.trace_id, standing.span_id, standing.response_id, standing.conversation_id, standing.key)
        AS is_moved
FROM standing INNER JOIN known USING (feedback_id);

DELETE FROM outcome_matches
WHERE kind = 'feedback' AND outcome_id IN (SELECT outcome_id FROM corrected WHERE is_moved);
DELETE FROM open_outcomes WHERE kind = 'feedback' AND outcome_id IN (SELECT outcome_id FROM corrected WHERE is_moved);
DELETE FROM new_outcomes WHERE kind = 'feedback' AND outcome_id IN (SELECT outcome_id FROM corrected WHERE is_moved);
INSERT INTO new_outcomes
SELECT 'feedback', feedback_id, event_time FROM standing
WHERE feedback_id NOT IN (SELECT outcome_id FROM corrected WHERE NOT is_moved);
UPDATE outcome_matches SET event_time = corrected.event_time
FROM corrected WHERE outcome_matches.kind = 'feedback' AND outcome_matches.outcome_id = corrected.outcome_id;
UPDATE open_outcomes SET event_time = corrected.event_time
FROM corrected WHERE open_outcomes.kind = 'feedback' AND open_outcomes.outcome_id = corrected.outcome_id;
UPDATE new_outcomes SET event_time = corrected.event_time
FROM corrected WHERE new_outcomes.kind = 'feedback' AND new_outcomes.outcome_id = corrected.outcome_id;
-- A process that matches meanwhile has read what no longer holds.
UPDATE matchings SET number = number + 1 WHERE EXISTS (FROM corrected);
SELECT (SELECT count(*) FROM standing) + (SELECT count(*) FROM versions WHERE is_new AND age > 1) AS stored

-- An evaluation is known by the most exact target it names, its name and who says it. Of one identity what comes later
-- holds, of one moment what was said last, and what it replaces is kept. A span event and a log record may carry the
-- same score at slightly different times: the same content is a repetition, not a change, and so is what was said of
-- that moment before.
CREATE OR REPLACE TEMP TABLE arrived AS
SELECT
    evaluation_identity(
        trace_id, span_id, response_id, conversation_id, event_time, attributes, name, annotator,
        identifier, source
    ) AS evaluation_id,
    md5_number_lower(evaluation_id) AS evaluation_number,
    evaluation_content(score, label, explanation, error_type, evaluator_version, judge_model, threshold, higher_is)
        AS content,
    row_number() OVER () AS place,
    *
FROM (
    -- Entries that an older version left in the journal lack columns.
    FROM incoming
    UNION ALL BY NAME
    (SELECT * EXCLUDE (evaluation_id, evaluation_number) FROM evaluations LIMIT 0)
);

-- A sender may tell one result of a span twice, by two carriers at about the same time, and only once say who judged.
-- Of two rows that say the same under one name, and came by different carriers, the one that tells less of who judged
-- is a copy.
CREATE OR REPLACE TEMP TABLE copies AS
WITH told AS (
    SELECT
        evaluation_id, content, trace_id, span_id, event_time, name, annotator, identifier, source, carrier,
        TRUE AS stands
    FROM arrived
    WHERE span_id IS NOT NULL
    UNION ALL
    SELECT
        evaluation_id,
        evaluation_content(score, label, explanation, error_type, evaluator_version, judge_model, threshold, higher_is),
        trace_id, span_id, event_time, name, annotator, identifier, source, carrier, stands
    FROM (
        SELECT *, TRUE AS stands FROM evaluations
        UNION ALL BY NAME
        SELECT *, FALSE AS stands FROM superseded_evaluations
    )
    WHERE
        span_id IN (SELECT span_id FROM arrived)
        AND event_time >= (SELECT min(event_time) FROM arrived) - INTERVAL 1 HOUR
        AND event_time <= (SELECT max(event_time) FROM arrived) + INTERVAL 1 HOUR
),
results AS (
    SELECT * FROM told WHERE carrier IN ('log', 'span_event', 'span_attributes', 'annotation')
)
SELECT
    less.evaluation_id,
    less.content,
    min(more.evaluation_id) AS copy_of
FROM results AS less INNER JOIN results AS more
    ON
        less.span_id = more.span_id AND less.trace_id = more.trace_id AND less.name = more.name
        AND less.content = more.content
WHERE
    less.stands
    AND less.carrier <> more.carrier
    AND less.evaluation_id <> more.evaluation_id
    AND less.event_time >= more.event_time - INTERVAL 1 HOUR
    AND less.event_time <= more.event_time + INTERVAL 1 HOUR
    AND (less.annotator IS NULL OR less.annotator = more.annotator)
    AND (less.identifier IS NULL OR less.identifier = more.identifier)
    AND (less.source IS NULL OR less.source = more.source)
GROUP BY ALL;

DELETE FROM arrived
USING copies WHERE arrived.evaluation_id = copies.evaluation_id AND arrived.content = copies.content;

DELETE FROM evaluations
USING copies
WHERE
    evaluations.evaluation_id = copies.evaluation_id
    AND copies.content = evaluation_content(
        score, label, explanation, error_type, evaluator_version, judge_model,
        threshold, higher_is
    );

-- What such a row had replaced is the history of the one that stays.
CREATE OR REPLACE TEMP TABLE gone AS
FROM copies WHERE evaluation_id NOT IN (SELECT evaluation_id FROM evaluations SEMI JOIN copies USING (evaluation_id));
UPDATE superseded_evaluations SET evaluation_id = copy_of
FROM gone WHERE superseded_evaluations.evaluation_id = gone.evaluation_id;
DELETE FROM outcome_matches WHERE outcome_id IN (SELECT evaluation_id FROM gone);
DELETE FROM open_outcomes WHERE outcome_id IN (SELECT evaluation_id FROM gone);
DELETE FROM new_outcomes WHERE outcome_id IN (SELECT evaluation_id FROM gone);

CREATE OR REPLACE TEMP TABLE known AS
SELECT
    evaluation_content(score, label, explanation, error_type, evaluator_version, judge_model, threshold, higher_is)
        AS content,
    *
FROM evaluations
WHERE evaluation_number IN (SELECT evaluation_number FROM arrived);

CREATE OR REPLACE TEMP TABLE versions AS
WITH contradicted AS (
    SELECT evaluation_id
    FROM (
        SELECT evaluation_id, content FROM arrived
        UNION ALL
        SELECT evaluation_id, content FROM known
    )
    GROUP BY evaluation_id
    HAVING count(DISTINCT content) > 1
),
said AS (
    SELECT TRUE AS is_new, * FROM arrived
    UNION ALL BY NAME
    SELECT FALSE AS is_new, 0 AS place, * FROM known
    UNION ALL BY NAME
    SELECT
        FALSE AS is_new,
        -1 AS place,
        evaluation_content(score, label, explanation, error_type, evaluator_version, judge_model, threshold, higher_is)
            AS content,
        *
    FROM superseded_evaluations
),
fresh AS (
    SELECT *
    FROM said
    WHERE evaluation_id IN (SELECT evaluation_id FROM contradicted)
    WINDOW of_moment AS (PARTITION BY evaluation_id, event_time, content)
    QUALIFY NOT is_new OR place = max(place) OVER of_moment AND bool_and(is_new) OVER of_moment
),
changes AS (
    SELECT * EXCLUDE (is_new)
    FROM fresh
    QUALIFY
        content IS DISTINCT FROM
        lag(content) OVER (PARTITION BY evaluation_id ORDER BY event_time, received_at, place, content)
)
SELECT
    *,
    row_number() OVER (
        PARTITION BY evaluation_id ORDER BY event_time DESC, received_at DESC, place DESC, content DESC
    ) AS age
FROM changes;

DELETE FROM superseded_evaluations WHERE evaluation_id IN (SELECT evaluation_id FROM versions);
INSERT INTO superseded_evaluations BY NAME SELECT * EXCLUDE (content, age, place) FROM versions WHERE age > 1;

CREATE OR REPLACE TEMP TABLE standing AS
SELECT * EXCLUDE (age) FROM versions WHERE age = 1
UNION ALL BY NAME
SELECT *
FROM arrived
WHERE
    evaluation_id NOT IN (SELECT evaluation_id FROM known)
    AND evaluation_id NOT IN (SELECT evaluation_id FROM versions)
QUALIFY row_number() OVER (PARTITION BY evaluation_id ORDER BY event_time, received_at, place) = 1;

-- What stands already is not written again.
DELETE FROM standing
WHERE EXISTS (
    SELECT 1 FROM known
    WHERE
        known.evaluation_id = standing.evaluation_id AND known.content = standing.content
        AND known.event_time = standing.event_time
);
DELETE FROM evaluations
WHERE
    evaluation_number IN (SELECT evaluation_number FROM standing SEMI JOIN known USING (evaluation_id))
    AND evaluation_id IN (SELECT evaluation_id FROM standing);
INSERT INTO evaluations BY NAME SELECT * EXCLUDE (content, place) FROM standing;

-- What is new is looked for. A correction has the same target, and keeps its traces.
INSERT INTO new_outcomes
SELECT 'evaluation', evaluation_id, event_time FROM standing
WHERE evaluation_id NOT IN (SELECT evaluation_id FROM known);

CREATE OR REPLACE TEMP TABLE corrected AS
SELECT evaluation_id AS outcome_id, event_time FROM standing SEMI JOIN known USING (evaluation_id);
UPDATE outcome_matches SET event_time = corrected.event_time
FROM corrected WHERE outcome_matches.kind = 'evaluation' AND outcome_matches.outcome_id = corrected.outcome_id;
UPDATE open_outcomes SET event_time = corrected.event_time
FROM corrected WHERE open_outcomes.kind = 'evaluation' AND open_outcomes.outcome_id = corrected.outcome_id;
UPDATE new_outcomes SET event_time = corrected.event_time
FROM corrected WHERE new_outcomes.kind = 'evaluation' AND new_outcomes.outcome_id = corrected.outcome_id;
-- A process that matches meanwhile has read what no longer holds.
UPDATE matchings SET number = number + 1 WHERE EXISTS (FROM corrected) OR EXISTS (FROM gone);
SELECT count(*) FROM standing

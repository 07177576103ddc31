-- What root spans say of requests: attributes of few values, of so many of a window's traces as are asked for, the same
-- ones each time, and for each of these traces a row without a name. Of those that the configuration names ($names)
-- nothing is passed over but long texts. Of the traces those of one part of $slices; what has more values in it than
-- are asked for is a row without a trace.
WITH chosen AS (
    SELECT trace_id, span_id
    FROM spans
    WHERE
        parent_span_id IS NULL AND gen_ai_span_kind IS DISTINCT FROM 'EVALUATOR'
        AND start_time >= $since::TIMESTAMP_NS AND start_time < $until::TIMESTAMP_NS
    ORDER BY md5(trace_id), span_id
    LIMIT $traces::BIGINT
),
roots AS NOT MATERIALIZED (
    SELECT trace_id, attributes
    FROM spans SEMI JOIN chosen USING (trace_id, span_id)
    WHERE
        parent_span_id IS NULL AND gen_ai_span_kind IS DISTINCT FROM 'EVALUATOR'
        AND start_time >= $since::TIMESTAMP_NS AND start_time < $until::TIMESTAMP_NS
        AND hash(trace_id) % $slices::UBIGINT = $slice::UBIGINT
),
said AS (
    SELECT roots.trace_id, told.key AS name, told.value ->> '$' AS value
    FROM roots, json_each(roots.attributes) AS told
    WHERE
        told.type NOT IN ('OBJECT', 'ARRAY', 'NULL')
        AND CASE
            WHEN len($names::VARCHAR[]) > 0 THEN list_contains($names::VARCHAR[], told.key)
            ELSE NOT regexp_matches(told.key, $passed_over::VARCHAR)
        END
),
many AS (SELECT name FROM said GROUP BY name HAVING count(DISTINCT value) > $values::BIGINT)
SELECT
    trace_id, name,
    -- Long texts only take part in the count of values.
    CASE WHEN length(value) <= 100 THEN value ELSE md5(value) END AS value,
    length(value) > 100 AS is_long
FROM said ANTI JOIN many USING (name)
UNION ALL
SELECT NULL, name, NULL, NULL
FROM many
UNION ALL
SELECT trace_id, NULL, NULL, NULL
FROM chosen
WHERE hash(trace_id) % $slices::UBIGINT = $slice::UBIGINT

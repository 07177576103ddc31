-- What root spans say of requests: attributes of few values, of so many of a window's traces as are asked for, the same
-- ones each time, and for each of these traces a row without a name. Of those that the configuration names ($names) nothing is passed over but long texts.
WITH roots AS (
    SELECT trace_id, attributes
    FROM spans
    WHERE
        parent_span_id IS NULL AND gen_ai_span_kind IS DISTINCT FROM 'EVALUATOR'
        AND start_time >= $since::TIMESTAMP_NS AND start_time < $until::TIMESTAMP_NS
    ORDER BY md5(trace_id)
    LIMIT $traces::BIGINT
),
said AS (
    SELECT roots.trace_id, told.key AS name, told.value ->> '$' AS value
    FROM roots, json_each(roots.attributes) AS told
    WHERE
        told.type NOT IN ('OBJECT', 'ARRAY', 'NULL')
        AND CASE WHEN len($names::VARCHAR[]) > 0 THEN list_contains($names::VARCHAR[], told.key)
            ELSE NOT regexp_matches(told.key, $passed_over::VARCHAR) END
)
SELECT trace_id, name, value
FROM said
WHERE
    length(value) <= 100
    AND name IN (SELECT name FROM said GROUP BY name HAVING count(DISTINCT value) <= $values::BIGINT)
UNION ALL
SELECT trace_id, NULL, NULL
FROM roots

-- Spans that name an item of a data set: in an attribute of its own, by a key of an attribute that is a JSON object, or
-- by their resource. The pattern passes over texts in which none of the names stands, which is much cheaper than
-- reading them.
WITH said AS (
    SELECT
        trace_id,
        span_id,
        resource_id,
        resource_id IN (SELECT unnest($resources::VARCHAR[])) AS is_of_resource,
        json_extract_string(attributes, $item_paths::VARCHAR[]) AS own,
        list_transform(
            list_zip(json_extract_string(attributes, $object_paths::VARCHAR[]), $key_paths::VARCHAR[]),
            LAMBDA pair: json_extract_string(try_cast(pair[1] AS JSON), pair[2])
        ) AS inner_keys
    FROM spans
    WHERE
        start_time >= $since::TIMESTAMP_NS AND start_time < $until::TIMESTAMP_NS
        AND (
            regexp_matches(attributes::VARCHAR, $pattern)
            OR resource_id IN (SELECT unnest($resources::VARCHAR[]))
        )
)
SELECT trace_id, span_id, resource_id, list_concat(own, inner_keys) AS named
FROM said
WHERE is_of_resource OR list_count(own) > 0 OR list_count(inner_keys) > 0

-- Spans that name an item of a data set: in an attribute of its own, or by a key of an attribute that is a JSON object.
WITH said AS (
    SELECT
        trace_id,
        span_id,
        json_extract_string(attributes, $item_paths::VARCHAR[]) AS own,
        list_transform(
            list_zip(json_extract_string(attributes, $object_paths::VARCHAR[]), $key_paths::VARCHAR[]),
            LAMBDA pair: json_extract_string(try_cast(pair[1] AS JSON), pair[2])
        ) AS inner_keys
    FROM spans
    WHERE start_time >= $since::TIMESTAMP_NS AND start_time < $until::TIMESTAMP_NS
)
SELECT trace_id, span_id, list_concat(own, inner_keys) AS named
FROM said
WHERE list_count(own) > 0 OR list_count(inner_keys) > 0

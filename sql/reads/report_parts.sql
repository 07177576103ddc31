-- The traces of a report's window by the day (UTC) of their first span in it: how many they are and a digest of their
-- spans, by which it is known that nothing has arrived, gone or been normalised anew; and which of them have spans on
-- later days, with a microsecond by which the last of them has begun.
WITH traces AS (
    SELECT
        trace_id,
        min(start_time) AS first_time,
        max(start_time) AS last_time,
        count(*) AS spans,
        bit_xor(hash(span_id, start_time, end_time, received_at, normalizer_version)) AS digest
    FROM spans
    WHERE start_time >= $since::TIMESTAMP_NS AND start_time < $until::TIMESTAMP_NS
    GROUP BY trace_id
)
SELECT
    first_time::DATE AS day,
    count(*) AS traces,
    sum(spans)::BIGINT AS spans,
    bit_xor(hash(trace_id, spans, digest)) AS digest,
    coalesce(
        list({ trace_id: trace_id, ends_by: last_time::TIMESTAMP + INTERVAL 1 MICROSECOND } ORDER BY trace_id)
        FILTER (WHERE last_time::DATE > first_time::DATE),
        []
    ) AS crossing
FROM traces
GROUP BY day
ORDER BY day

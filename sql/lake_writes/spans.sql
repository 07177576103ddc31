-- Of files whose times lie outside, which the catalog knows, not even the footers are read.
INSERT INTO live_spans BY NAME
FROM incoming ANTI JOIN (
    SELECT start_time, span_id, trace_id
    FROM live_spans
    WHERE start_time >= make_timestamp_ns($first) AND start_time <= make_timestamp_ns($last)
) AS stored USING (start_time, span_id, trace_id)

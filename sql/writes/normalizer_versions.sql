-- Which version of the normaliser has looked at stored spans, whose canonical columns stay as they are.
UPDATE live_spans SET normalizer_version = incoming.normalizer_version
FROM incoming
WHERE
    live_spans.start_time = incoming.start_time
    AND live_spans.span_id = incoming.span_id
    AND live_spans.trace_id = incoming.trace_id

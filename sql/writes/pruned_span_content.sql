-- Spans whose content retention deleted.
UPDATE live_spans SET attributes = incoming.attributes, events = incoming.events
FROM incoming
WHERE
    live_spans.start_time = incoming.start_time
    AND live_spans.span_id = incoming.span_id
    AND live_spans.trace_id = incoming.trace_id

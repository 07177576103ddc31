-- Spans whose content retention deleted.
UPDATE spans SET attributes = incoming.attributes, events = incoming.events
FROM incoming
WHERE spans.start_time = incoming.start_time AND spans.span_id = incoming.span_id AND spans.trace_id = incoming.trace_id

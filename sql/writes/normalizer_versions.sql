-- Which version of the normaliser has looked at stored spans, whose canonical columns stay as they are.
UPDATE spans SET normalizer_version = incoming.normalizer_version
FROM incoming
WHERE spans.start_time = incoming.start_time AND spans.span_id = incoming.span_id AND spans.trace_id = incoming.trace_id

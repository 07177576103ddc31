-- Log records whose content retention deleted. They are still known by what they once said.
UPDATE live_log_records SET body = incoming.body, attributes = incoming.attributes
FROM incoming
WHERE live_log_records.event_time = incoming.event_time AND live_log_records.log_id = incoming.log_id

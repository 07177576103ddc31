-- Log records whose content retention deleted. They are still known by what they once said.
UPDATE log_records SET body = incoming.body, attributes = incoming.attributes
FROM incoming
WHERE log_records.event_time = incoming.event_time AND log_records.log_id = incoming.log_id

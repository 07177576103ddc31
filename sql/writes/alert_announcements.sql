-- One announcement: a row that holds its new states, events and deliveries. Nothing is written if another process has
-- announced on the stream since its number was read.
INSERT INTO alert_announcements BY NAME
SELECT announcement_id, stream, after_number + 1 AS number, report_id, as_of, announced_at
FROM incoming
WHERE
    after_number = coalesce(
        (
            SELECT max(number)
            FROM alert_announcements AS known
            WHERE known.stream = (SELECT any_value(stream) FROM incoming)
        ),
        0
    );

DELETE FROM alert_states
WHERE stream IN (SELECT stream FROM incoming SEMI JOIN alert_announcements USING (announcement_id));

INSERT INTO alert_states BY NAME
SELECT stream, unnest(states, max_depth := 2)
FROM incoming SEMI JOIN alert_announcements USING (announcement_id);

INSERT INTO alert_events BY NAME
SELECT announcement_id, report_id, as_of, announced_at AS recorded_at, unnest(events, max_depth := 2)
FROM incoming SEMI JOIN alert_announcements USING (announcement_id);

INSERT INTO alert_deliveries BY NAME
SELECT
    announcement_id,
    announced_at AS created_at,
    announced_at AS next_attempt_at,
    0 AS attempts,
    unnest(deliveries, max_depth := 2)
FROM incoming SEMI JOIN alert_announcements USING (announcement_id);

SELECT count(*) FROM incoming SEMI JOIN alert_announcements USING (announcement_id)

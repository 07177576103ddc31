-- A schedule whose times change is another one: it begins with its next slot.
MERGE INTO schedules AS stored
USING incoming
ON stored.schedule = incoming.schedule AND stored.cron = incoming.cron AND stored.time_zone = incoming.time_zone
WHEN NOT MATCHED THEN INSERT BY NAME

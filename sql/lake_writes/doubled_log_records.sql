-- Log records of one commit that another commit has as well.
SELECT event_time, log_id, service_name
FROM live_log_records SEMI JOIN (
    SELECT event_time, log_id
    FROM live_log_records
    WHERE received_at <> $stamp
) AS others USING (event_time, log_id)
WHERE received_at = $stamp

-- How far outcomes have been matched with the traces that arrived.
CREATE OR REPLACE VIEW matching_progress AS
WITH unseen AS (
    SELECT day FROM archived_files
    WHERE table_name = 'spans' AND received_through > (SELECT max(spans_through) FROM matchings)
)
SELECT
    matched_at,
    key_attribute,
    (SELECT count(*) FROM new_outcomes) AS outcomes_left,
    (SELECT count(*) FROM open_outcomes WHERE look_back) AS look_backs_left,
    (SELECT count(*) FROM live_spans WHERE received_at > (SELECT max(spans_through) FROM matchings))
    + (
        SELECT count(*) FROM archived_spans INNER JOIN unseen ON start_time::DATE = unseen.day
        WHERE received_at > (SELECT max(spans_through) FROM matchings)
    ) AS spans_left
FROM matchings;

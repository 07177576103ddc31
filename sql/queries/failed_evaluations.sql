-- How often each evaluator's label was each value, by day.
SELECT date_trunc('day', event_time) AS day, name, label, count(*) AS results, round(avg(score), 3) AS mean_score
FROM evaluations_by_trace
GROUP BY ALL
ORDER BY day, name, label

-- Which promotion a report is of; no row where there is no such report.
SELECT promotion, as_of
FROM reports
WHERE report_id = $report_id
LIMIT 1

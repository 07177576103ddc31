-- What arrived: spans by service and instrumentation scope.
SELECT service_name, scope_name, scope_version, count(*) AS spans, min(start_time) AS first, max(start_time) AS last
FROM spans
GROUP BY ALL
ORDER BY spans DESC

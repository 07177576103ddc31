-- The attributes of some resources.
SELECT resource_id, attributes
FROM resources
WHERE resource_id IN (SELECT unnest($resource_ids::VARCHAR[]))

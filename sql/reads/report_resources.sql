SELECT resource_id, attributes FROM resources

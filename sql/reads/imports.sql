-- What was imported of files that are not larger than this one: it may be one of them, or have grown from it.
SELECT content_id, size_bytes, records_done, finished_at IS NOT NULL AS finished
FROM imports
WHERE size_bytes <= $size_bytes
ORDER BY size_bytes

MERGE INTO calibrations AS stored
USING incoming
ON stored.calibration_id = incoming.calibration_id
WHEN NOT MATCHED THEN INSERT BY NAME

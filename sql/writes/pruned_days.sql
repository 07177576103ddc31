INSERT INTO pruned_days BY NAME
FROM incoming

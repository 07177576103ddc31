INSERT INTO live_spans BY NAME FROM incoming

INSERT INTO spans BY NAME FROM incoming

"""Routes: decisions of a report in the formats that gateways load."""

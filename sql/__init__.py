"""The store: schema, reading and writing, live queries."""

"""Rows in, verdicts out: polars jobs over the span store."""

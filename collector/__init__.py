"""OTLP in, durable rows out."""

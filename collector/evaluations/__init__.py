"""What evaluators and people say of an answer, as it comes inside telemetry."""

"""OTLP in, durable rows out."""

import os

# gRPC's own log lines say less than our errors do; whoever wants them sets the variable.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

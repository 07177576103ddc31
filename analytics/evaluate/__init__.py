"""Running evaluators over stored traces: what they read, which there are, and how a run goes."""

"""What ends a run, or leaves a subject without a judgement."""

from __future__ import annotations

TIMEOUT = "timeout"
CONNECTION = "connection"
RATE_LIMITED = "rate_limited"
SERVER_ERROR = "server_error"

TRANSIENT = (TIMEOUT, CONNECTION, RATE_LIMITED, SERVER_ERROR)
"""Error types of what may go better another time: the next run tries such subjects again."""


class EvaluatorUnusableError(Exception):
    """An evaluator cannot be used at all; the message is one sentence that names the mend."""

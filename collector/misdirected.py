"""Logs that were sent as traces.

A binary log request decodes as a trace request without an error: the messages around the records have the same field
numbers, and what a log record holds is unknown to a span. All its spans are then without ids.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collector.decode import SpanColumns, decode_logs, decode_traces
from collector.wire import MalformedRequestError

_HINT = "it holds log records; they are sent to /v1/logs or to the LogsService"


def decode_sent_traces(payloads: Sequence[bytes]) -> SpanColumns:
    """Decode trace requests, unless one of them is a log request.

    Raises:
        MalformedRequestError: one of the payloads is no trace request (decode them one by one to find it).
    """
    try:
        spans = decode_traces(payloads)
    except MalformedRequestError as error:
        # The ids of a log record stand where a span has its attributes, and are none.
        if len(payloads) == 1 and _is_logs(payloads[0]):
            raise MalformedRequestError(_HINT) from error
        raise
    if not spans.valid.all():
        sent = np.bincount(spans.envelope.request, minlength=len(payloads))
        valid = np.bincount(spans.envelope.request[spans.valid], minlength=len(payloads))
        if any(_is_logs(payloads[index]) for index in np.flatnonzero((sent > 0) & (valid == 0)).tolist()):
            raise MalformedRequestError(_HINT)
    return spans


def _is_logs(payload: bytes) -> bool:
    """Whether the bytes hold log records with a time; where those have it, a span never has a number."""
    try:
        return bool((decode_logs([payload]).time > 0).any())
    except MalformedRequestError:
        return False

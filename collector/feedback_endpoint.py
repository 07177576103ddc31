"""`POST /v1/feedback`: what a web front end's own backend or a ticket system's webhook says of a trace.

Answers are JSON: ``{"accepted": n}`` once the rows are on disk, else a problem (RFC 9457). Source of the other rules:
RFC 9110 (methods, codings), RFC 6750 (bearer tokens), draft-ietf-httpapi-idempotency-key-header-07.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from http import HTTPStatus

from aiohttp import web
from google.rpc.code_pb2 import Code

from collector.admission import Admission
from collector.credentials import Credentials
from collector.feedback import FeedbackError, checked_key, encode_feedback
from collector.http_body import BodyReader, coding
from collector.ingest import Ingest
from collector.protocol import REFUSED, RETRY_SECONDS, UNSUPPORTED, TooLargeError, refusal
from collector.signals import Signal

FEEDBACK_PATH = f"/v1/{Signal.FEEDBACK}"

_JSON = "application/json"
_PROBLEM = "application/problem+json"


class FeedbackEndpoint:
    """Takes feedback.

    Args:
        ingest: where rows go.
        admission: the bytes that may be on their way in, shared with telemetry.
        bodies: reads them.
        credentials: who may send.
        max_bytes: the largest request taken, before and after decompression.
    """

    def __init__(
        self, ingest: Ingest, admission: Admission, bodies: BodyReader, credentials: Credentials, max_bytes: int
    ) -> None:
        self._ingest = ingest
        self._admission = admission
        self._bodies = bodies
        self._credentials = credentials
        self._max_bytes = max_bytes

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Take one request, whose path is FEEDBACK_PATH."""
        if misused := _misused(request):
            self._ingest.count_refused(UNSUPPORTED)
            return misused
        try:
            records = await self._store(request)
        except REFUSED as error:
            refused = refusal(Signal.FEEDBACK, error)
            self._ingest.count_refused(refused.reason)
            answer = _problem(refused.http_status, refused.message)
            if isinstance(error, FeedbackError):
                answer = _problem(
                    refused.http_status, f"{error}; nothing was stored.", row=error.row, field=error.field
                )
            if refused.retry:
                answer.headers["Retry-After"] = str(RETRY_SECONDS)
            if refused.code == Code.UNAUTHENTICATED:
                answer.headers["WWW-Authenticate"] = 'Bearer realm="spanverdict"'
            if refused.code == Code.DEADLINE_EXCEEDED:
                answer.force_close()
            return answer
        return web.json_response({"accepted": records})

    async def _store(self, request: web.BaseRequest) -> int:
        credential = self._credentials.find(request.headers.get("Authorization"), Signal.FEEDBACK)
        declared = request.content_length
        if declared is not None and declared > self._max_bytes:
            raise TooLargeError(self._max_bytes)
        self._ingest.check_room(declared or 1)
        key = checked_key(request.headers.getall("Idempotency-Key", []))
        convert = partial(encode_feedback, idempotency_key=key)
        with self._admission.reading(declared) as reading:
            payload = await self._bodies.read(request, reading, gzip=coding(request) == "gzip", convert=convert)
            stored = self._ingest.submit(Signal.FEEDBACK, payload, credential)
        return (await asyncio.wrap_future(stored)).records


def _misused(request: web.BaseRequest) -> web.Response | None:
    """What to answer to what cannot be feedback; None if it can."""
    if request.method != "POST":
        answer = _problem(405, "Feedback is sent with POST.")
        answer.headers["Allow"] = "POST"
        return answer
    if request.content_type != _JSON:
        answer = _problem(415, f"The Content-Type {request.content_type[:100]!r} is not taken; it is {_JSON}.")
        answer.headers["Accept"] = _JSON
        return answer
    if coding(request) not in {"identity", "none", "gzip"}:
        answer = _problem(415, f"The Content-Encoding {coding(request)[:100]!r} is not taken; it is gzip, or none.")
        answer.headers["Accept-Encoding"] = "gzip, identity"
        return answer
    return None


def _problem(status: int, detail: str, **members: str | int | None) -> web.Response:
    """A problem of no type of its own: its title is the status's (RFC 9457, section 4.2.1)."""
    told = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    given = {name: value for name, value in members.items() if value is not None}
    return web.Response(status=status, text=json.dumps(told | given), content_type=_PROBLEM)

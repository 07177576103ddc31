"""OTLP over HTTP: protocol only. What a request says is the ingest path's business.

Source of the rules: OpenTelemetry protocol specification 1.11, "OTLP/HTTP" (paths, content types, statuses,
throttling), RFC 9110 (methods, codings), RFC 6750 (bearer tokens).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code

from collector.admission import Admission
from collector.cors import Cors
from collector.credentials import Credentials
from collector.feedback_endpoint import FEEDBACK_PATH, FeedbackEndpoint
from collector.http_body import BodyReader, coding
from collector.ingest import Ingest, Outcome
from collector.otlp_json import to_protobuf
from collector.protocol import (
    MAX_REQUEST_BYTES,
    PATHS,
    REFUSED,
    RETRY_SECONDS,
    UNSUPPORTED,
    Refusal,
    TooLargeError,
    refusal,
    response,
)
from collector.signals import Signal

_PROTOBUF = "application/x-protobuf"
_JSON = "application/json"

_LOG = logging.getLogger("spanverdict.http")

Pages = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""Answers what is asked with GET or HEAD at paths that nothing is posted to."""

_LINGER_SECONDS = 2.0
"""How long what a refused sender still sends is read and dropped, so that it sees the answer."""


class HttpReceiver:
    """The OTLP/HTTP server.

    Args:
        ingest: where requests go.
        admission: the bytes that may be on their way in, shared with the other transport.
        address: host:port to bind; port 0 takes a free one.
        max_bytes: the largest request taken, before and after decompression.
        credentials: who may send.
        tls: None serves in the clear.
        cors_origins: whose pages may send from the browser.
        pages: what answers people; None answers no one who does not send.
    """

    def __init__(
        self,
        ingest: Ingest,
        admission: Admission,
        address: str,
        max_bytes: int = MAX_REQUEST_BYTES,
        credentials: Credentials | None = None,
        tls: ssl.SSLContext | None = None,
        cors_origins: Iterable[str] = (),
        pages: Pages | None = None,
    ) -> None:
        self._ingest = ingest
        self._admission = admission
        self._address = address
        self._max_bytes = max_bytes
        self._credentials = credentials or Credentials()
        self._tls = tls
        self._bodies = BodyReader(max_bytes)
        self._feedback = FeedbackEndpoint(ingest, admission, self._bodies, self._credentials, max_bytes)
        self._cors = Cors(cors_origins)
        self._pages = pages
        self._runner: web.ServerRunner | None = None

    async def start(self, grace_seconds: float) -> int:
        """Bind and serve; returns the bound port.

        Args:
            grace_seconds: how long requests in flight may take when the receiver is stopped.

        Raises:
            OSError: the address cannot be bound.
        """
        server = web.Server(
            self._handle,
            access_log=None,
            logger=_LOG,
            # Bodies are decompressed here, within a limit.
            auto_decompress=False,
            lingering_time=_LINGER_SECONDS,
        )
        runner = web.ServerRunner(server, shutdown_timeout=grace_seconds)
        await runner.setup()
        self._runner = runner
        host, _, port = self._address.rpartition(":")
        site = web.TCPSite(runner, host.strip("[]"), int(port), ssl_context=self._tls)
        try:
            await site.start()
        except OSError as error:
            raise OSError(f"OTLP/HTTP cannot listen on {self._address}: is the port taken?") from error
        bound: int = runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Refuse new requests and let those in flight finish."""
        if self._runner:
            await self._runner.cleanup()
        await asyncio.to_thread(self._bodies.close)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if preflight := self._cors.preflight(request):
            return preflight
        feedback = request.path == FEEDBACK_PATH
        if self._pages and request.method in {"GET", "HEAD"} and not feedback and request.path not in PATHS:
            # Without a word to other origins: who may send from there may not read here.
            return await self._pages(request)
        answer = await self._feedback.answer(request) if feedback else await self._answer(request)
        self._cors.allow(request, answer)
        return answer

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        json = request.content_type != _PROTOBUF
        signal = PATHS.get(request.path)
        if signal is None:
            paths = ", ".join(PATHS)
            message = (
                f"There is nothing at {request.path[:100]}; OTLP is posted to {paths}, feedback to {FEEDBACK_PATH}."
            )
            self._ingest.count_refused(UNSUPPORTED)
            return _refused(json, Refusal(Code.UNIMPLEMENTED, 404, message))
        if misused := _misused(request):
            self._ingest.count_refused(UNSUPPORTED)
            return misused
        try:
            outcome = await self._export(request, signal, json=json)
        except REFUSED as error:
            refused = refusal(signal, error)
            self._ingest.count_refused(refused.reason)
            return _refused(json, refused)
        return _answer(json, 200, response(signal, outcome))

    async def _export(self, request: web.BaseRequest, signal: Signal, *, json: bool) -> Outcome:
        credential = self._credentials.find(request.headers.get("Authorization"), signal)
        if signal is Signal.METRICS:
            return self._ingest.ignore(signal)
        declared = request.content_length
        if declared is not None and declared > self._max_bytes:
            raise TooLargeError(self._max_bytes)
        self._ingest.check_room(declared or 1)
        gzip = coding(request) == "gzip"
        convert = partial(to_protobuf, signal=signal) if json else None
        with self._admission.reading(declared) as reading:
            payload = await self._bodies.read(request, reading, gzip=gzip, convert=convert)
            stored = self._ingest.submit(signal, payload, credential)
        return await asyncio.wrap_future(stored)


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Leave out of the log, where it would stand with a traceback, that somebody does not speak HTTP."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_LOG.addFilter(_is_our_fault)


def _misused(request: web.BaseRequest) -> web.Response | None:
    """What to answer to what cannot be an export request; None if it can."""
    json = request.content_type != _PROTOBUF
    if request.method != "POST":
        answer = _refused(json, Refusal(Code.UNIMPLEMENTED, 405, "OTLP is sent with POST."))
        answer.headers["Allow"] = "POST"
        return answer
    if request.content_type not in {_PROTOBUF, _JSON}:
        message = f"The Content-Type {request.content_type[:100]!r} is not taken; it is {_PROTOBUF} or {_JSON}."
        return _refused(json, Refusal(Code.INVALID_ARGUMENT, 415, message))
    if coding(request) not in {"identity", "none", "gzip"}:
        message = f"The Content-Encoding {coding(request)[:100]!r} is not taken; it is gzip, or none."
        answer = _refused(json, Refusal(Code.INVALID_ARGUMENT, 415, message))
        answer.headers["Accept-Encoding"] = "gzip, identity"
        return answer
    return None


def _refused(json: bool, refused: Refusal) -> web.Response:
    answer = _answer(json, refused.http_status, refused.status())
    if refused.retry:
        answer.headers["Retry-After"] = str(RETRY_SECONDS)
    if refused.code == Code.UNAUTHENTICATED:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="spanverdict"'
    if refused.code == Code.DEADLINE_EXCEEDED:
        answer.force_close()
    return answer


def _answer(json: bool, status: int, message: Message) -> web.Response:
    """A message in the request's own encoding (the specification demands it); JSON where it named none."""
    body = MessageToJson(message, indent=None).encode() if json else message.SerializeToString()
    return web.Response(status=status, body=body, content_type=_JSON if json else _PROTOBUF)

"""OTLP over gRPC: protocol only. What a request says is the ingest path's business.

Source of the rules: OpenTelemetry protocol specification 1.11, "OTLP/gRPC" (response messages, retryable status
codes, throttling), and grpc.health.v1.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from collector.admission import Admission
from collector.credentials import Credential, Credentials
from collector.ingest import Ingest, Outcome
from collector.protocol import MAX_REQUEST_BYTES, REFUSED, SERVICES, Refusal, refusal, response, retry_info
from collector.signals import Signal
from collector.tls import Tls
from collector.wire import MalformedRequestError

_HEALTH_SECONDS = 1.0
"""How often health checks learn whether requests can be stored."""

_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}

_Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcReceiver:
    """The OTLP/gRPC server.

    Args:
        ingest: where requests go.
        admission: the bytes that may be on their way in, shared with the other transport.
        address: host:port to bind; port 0 takes a free one.
        max_bytes: the largest message taken, after decompression.
        credentials: who may send; health checks need no token.
        tls: None serves in the clear.
    """

    def __init__(
        self,
        ingest: Ingest,
        admission: Admission,
        address: str,
        max_bytes: int = MAX_REQUEST_BYTES,
        credentials: Credentials | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._ingest = ingest
        self._admission = admission
        self._address = address
        self._max_bytes = max_bytes
        self._credentials = credentials or Credentials()
        self._tls = tls
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Bind and serve; returns the bound port.

        Raises:
            OSError: the address cannot be bound.
        """
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", self._max_bytes),
                # Two servers must not share a port by accident: telemetry would go to either.
                ("grpc.so_reuseport", 0),
            ]
        )
        # On the wire an export is a stream of one message; taken as one, the message is left unread until it may come.
        server.add_generic_rpc_handlers(
            tuple(
                grpc.method_handlers_generic_handler(
                    service, {"Export": grpc.stream_unary_rpc_method_handler(self._handler(signal))}
                )
                for service, signal in SERVICES.items()
            )
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        try:
            port = self._bind(server)
        except RuntimeError as error:
            raise OSError(f"OTLP/gRPC cannot listen on {self._address}: is the port taken?") from error
        await self._set_serving(serving=self._ingest.ready() is None)
        await server.start()
        self._server = server
        self._watching = asyncio.create_task(self._watch_ingest())
        return port

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new requests and let those in flight finish for up to ``grace_seconds``."""
        if self._watching:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        if self._server:
            await self._health.enter_graceful_shutdown()
            await self._server.stop(grace_seconds)

    def _bind(self, server: grpc.aio.Server) -> int:
        if self._tls is None:
            return server.add_insecure_port(self._address)
        credentials = grpc.ssl_server_credentials(
            [(self._tls.key, self._tls.certificate)],
            root_certificates=self._tls.client_ca,
            require_client_auth=self._tls.client_ca is not None,
        )
        return server.add_secure_port(self._address, credentials)

    async def _watch_ingest(self) -> None:
        """Tell health checks whether requests can be stored."""
        while True:
            await asyncio.sleep(_HEALTH_SECONDS)
            await self._set_serving(serving=self._ingest.ready() is None)

    async def _set_serving(self, *, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("", *SERVICES):
            await self._health.set(service, status)

    def _handler(self, signal: Signal) -> Callable[[AsyncIterator[bytes], _Context], Awaitable[bytes]]:
        async def export(_messages: AsyncIterator[bytes], context: _Context) -> bytes:
            try:
                credential = self._credentials.find(_authorization(context), signal)
                outcome = await self._export(signal, context, credential)
            except REFUSED as error:
                refused = refusal(signal, error)
                self._ingest.count_refused(refused.reason)
                await _abort(context, refused)
            return response(signal, outcome).SerializeToString()

        return export

    async def _export(self, signal: Signal, context: _Context, credential: Credential | None) -> Outcome:
        self._ingest.check_room()
        async with self._admission.reading_unsized() as reading:
            async with reading.limited():
                # Not by the iterator: it would hold the message until the garbage collector finds it.
                message = await context.read()
            if not isinstance(message, bytes):
                raise MalformedRequestError("it has no message")
            if signal is Signal.METRICS:
                return self._ingest.ignore(signal)
            stored = self._ingest.submit(signal, message, credential)
        return await asyncio.wrap_future(stored)


def _authorization(context: _Context) -> str | None:
    given = (value for key, value in context.invocation_metadata() or () if key == "authorization")
    value = next(given, None)
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


async def _abort(context: _Context, refused: Refusal) -> None:
    """End a call; a retry's delay goes where exporters look for it.

    The Python exporter reads `google.rpc.retryinfo-bin`, Go and the OpenTelemetry Collector the status details.
    """
    trailing = [("grpc-status-details-bin", refused.status().SerializeToString())]
    if refused.retry:
        trailing.append(("google.rpc.retryinfo-bin", retry_info().SerializeToString()))
    await context.abort(_STATUS_CODES[refused.code], refused.message, trailing_metadata=tuple(trailing))

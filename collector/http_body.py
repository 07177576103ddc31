"""The body of an HTTP request: read within limits, decompressed within limits, made what is queued."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import ClientPayloadError
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import BaseRequest

from collector.admission import Reading
from collector.otlp_json import OtlpJsonError
from collector.protocol import TooLargeError
from collector.wire import MalformedRequestError

_LOG = logging.getLogger("spanverdict.http")

Convert = Callable[[bytes], bytes]
"""A body → what is queued, or one of the errors of a request that is at fault."""

_GZIP = zlib.MAX_WBITS | 16

_SLICE = 2**16
"""Compressed bytes looked at at once."""

_PIECE = 2**20
"""Decompressed bytes made at once."""


class BodyReader:
    """Reads bodies. What takes long is done in threads of its own, so that nobody is held up.

    Args:
        max_bytes: the largest body taken, before and after decompression.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._gzip = ThreadPoolExecutor(2, "http-gzip")
        # Objects of a JSON text take many times its size: one at a time.
        self._json = ThreadPoolExecutor(1, "http-json")

    def close(self) -> None:
        """End the threads."""
        self._gzip.shutdown()
        self._json.shutdown()

    async def read(self, request: BaseRequest, reading: Reading, *, gzip: bool, convert: Convert | None) -> bytes:
        """What a request carries, in the form in which it is queued.

        Args:
            request: of which only the body is read.
            reading: where its bytes count.
            gzip: the body is compressed.
            convert: makes that form of the body; None where the body has it.

        Raises:
            TooLargeError: it is larger than is taken.
            MalformedRequestError: it breaks off, is not gzip, or cannot be converted.
            OtlpJsonError: it is not OTLP/JSON.
            SlowSenderError: it took too long.
            OverloadedError: it does not fit beside what others send.
        """
        loop = asyncio.get_running_loop()
        body = await self._raw(request, reading)
        if gzip:
            body = await loop.run_in_executor(self._gzip, decompressed, body, self._max_bytes)
            reading.grow(max(0, len(body) - reading.held))
        if convert:
            body = await loop.run_in_executor(self._json, _converted, body, convert)
        return body

    async def _raw(self, request: BaseRequest, reading: Reading) -> bytes:
        pieces = []
        size = 0
        async with reading.limited():
            if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
                request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            try:
                async for piece in request.content.iter_any():
                    size += len(piece)
                    if size > self._max_bytes:
                        raise TooLargeError(self._max_bytes)
                    if size > reading.held:
                        reading.grow(size - reading.held)
                    pieces.append(piece)
            except (ClientPayloadError, HttpProcessingError, ConnectionError) as error:
                raise MalformedRequestError("its body breaks off") from error
        return b"".join(pieces)


def coding(request: BaseRequest) -> str:
    """The body's Content-Encoding, in lower case; ``identity`` where none is said."""
    return request.headers.get("Content-Encoding", "").strip().lower() or "identity"


def decompressed(data: bytes, max_bytes: int) -> bytes:
    """What gzip data holds; several members one after another are one text (RFC 1952, section 2.2).

    Args:
        data: the whole compressed body.
        max_bytes: nothing larger is unpacked.

    Raises:
        TooLargeError: it holds more.
        MalformedRequestError: it is not gzip, or ends too early.
    """
    pieces = []
    left = max_bytes
    member = zlib.decompressobj(_GZIP)

    def unpack(rest: bytes) -> bytes:
        """Unpack a little and give back what has not been looked at yet."""
        nonlocal left, member
        if member.eof:
            member = zlib.decompressobj(_GZIP)
        try:
            pieces.append(member.decompress(rest, min(_PIECE, left + 1)))
        except zlib.error as error:
            raise MalformedRequestError("its body is not gzip, as its Content-Encoding says") from error
        left -= len(pieces[-1])
        if left < 0:
            raise TooLargeError(max_bytes)
        return member.unused_data if member.eof else member.unconsumed_tail

    for start in range(0, len(data), _SLICE):
        rest = data[start : start + _SLICE]
        while rest:
            rest = unpack(rest)
    while data and not member.eof:
        unpack(b"")
        if not pieces[-1]:
            raise MalformedRequestError("its gzip body ends too early")
    return b"".join(pieces)


def _converted(body: bytes, convert: Convert) -> bytes:
    try:
        return convert(body)
    except (OtlpJsonError, MalformedRequestError):
        raise
    except Exception as error:
        # Exporters send again what is answered with a server's error, for ever the same: what it holds is at fault.
        _LOG.exception("A JSON request could not be read")
        raise MalformedRequestError("its content could not be read") from error

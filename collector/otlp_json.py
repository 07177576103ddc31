"""OTLP/JSON text → serialized export requests.

OTLP/JSON is protobuf's JSON mapping with exceptions (OpenTelemetry protocol specification, "JSON Protobuf Encoding"):
trace and span ids are hex, keys are lowerCamelCase only, enums are integers. The rules of every field are put together
once from OTLP's message definitions; text is then written to protobuf's wire format directly, in a fifth of the time
(benchmarks/otlp_json.py) of protobuf's own JSON parser, which would also take a hex id as base64 and silently make
other bytes of it.

Beyond what senders may do, names of enum values are read (generic protobuf tools write them) and half a surrogate pair
becomes U+FFFD. Of a key that is there twice the last one counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector import json_scalars as scalars
from collector.json_scalars import FieldError
from collector.signals import Signal

DEEPEST = 100
"""Messages that may lie inside one another: what protobuf's parsers read."""

_IDS = frozenset({"traceId", "spanId", "parentSpanId"})

_DELIMITED = 2

_Write = Callable[[Any, int], bytes]
"""Writes one field of a message, tag included, from its JSON value and the depth of the message."""


class OtlpJsonError(ValueError):
    """The text is not OTLP/JSON; the message is one sentence."""


def to_protobuf(text: bytes, signal: Signal) -> bytes:
    """One OTLP/JSON request as the serialized `Export…ServiceRequest` of its signal.

    Unknown names are ignored and null is absent, as the specification demands. An id of another length is passed on,
    for the receiver to refuse its span alone; one that is not hex at all refuses the request.

    Raises:
        OtlpJsonError: the text is not JSON, or a field does not hold what it should; the sentence names the field.
    """
    return serialize(load(text), signal)


def load(text: bytes) -> dict[str, Any]:
    """Parse one JSON object; a byte order mark before it is passed over.

    Raises:
        OtlpJsonError: it is not UTF-8, not JSON (which has no NaN), not an object, or nested too deeply.
    """
    try:
        value = json.loads(text.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise OtlpJsonError(f"This is not OTLP/JSON: byte {error.start} is not UTF-8.") from error
    except RecursionError as error:
        raise OtlpJsonError("This is not OTLP/JSON: it is nested too deeply.") from error
    except ValueError as error:
        raise OtlpJsonError(f"This is not OTLP/JSON: {error}.") from error
    if not isinstance(value, dict):
        raise OtlpJsonError("This is not OTLP/JSON: it is not an object.")
    return value


def serialize(value: dict[str, Any], signal: Signal) -> bytes:
    """A parsed request as the serialized message of its signal; what is of another signal is ignored.

    Raises:
        OtlpJsonError: a field does not hold what it should.
    """
    try:
        return _REQUESTS[signal](value, 0)
    except FieldError as error:
        raise OtlpJsonError(f"This is not OTLP/JSON: {error}.") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is a text in JSON, in quotes")


def _message(descriptor: Descriptor, known: dict[str, dict[str, _Write]]) -> _Write:
    """A writer of a message's content, without tag and length."""
    fields = known.get(descriptor.full_name)
    if fields is None:
        # Registered before it is filled, for messages hold one another.
        fields = known[descriptor.full_name] = {}
        for field in descriptor.fields:
            write = _field(field, known)
            if write:
                fields[field.json_name] = write
    return _object(fields)


def _object(fields: dict[str, _Write]) -> _Write:
    find = fields.get

    def write(value: Any, depth: int) -> bytes:  # noqa: ANN401 (JSON)
        if value.__class__ is not dict:
            raise FieldError(value, "is not an object")
        if depth >= DEEPEST:
            raise FieldError(None, f"is nested deeper than {DEEPEST} messages")
        parts = []
        for key, item in value.items():
            field = find(key)
            if field is None or item is None:
                continue
            try:
                parts.append(field(item, depth + 1))
            except FieldError as error:
                error.path.append(f".{key}")
                raise
        return b"".join(parts)

    return write


def _field(field: FieldDescriptor, known: dict[str, dict[str, _Write]]) -> _Write | None:
    """A writer of one field; None for a kind that OTLP does not use, whose fields are like unknown ones."""
    if field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type is not None:
        tag = scalars.tag(field.number, _DELIMITED)
        write = _delimited(tag, _message(field.message_type, known))
        # An AnyValue that is empty stands for null, and has its place among others.
        null = tag + b"\0" if field.message_type.name == "AnyValue" else b""
    else:
        kind = scalars.HEX if field.json_name in _IDS else scalars.KINDS.get(field.type)
        if kind is None:
            return None
        write, null = _scalar(scalars.tag(field.number, kind.wire_type), kind.encoder(field)), b""
    return _repeated(write, null) if field.is_repeated else write


def _delimited(tag: bytes, content: _Write) -> _Write:
    length = scalars.varint

    def write(value: Any, depth: int) -> bytes:  # noqa: ANN401
        data = content(value, depth)
        return tag + length(len(data)) + data

    return write


def _scalar(tag: bytes, encode: Callable[[Any], bytes]) -> _Write:
    return lambda value, _depth: tag + encode(value)


def _repeated(write: _Write, null: bytes) -> _Write:
    def write_all(value: Any, depth: int) -> bytes:  # noqa: ANN401
        if value.__class__ is not list:
            raise FieldError(value, "is not an array")
        parts = []
        for index, item in enumerate(value):
            try:
                parts.append(null if item is None else write(item, depth))
            except FieldError as error:
                error.path.append(f"[{index}]")
                raise
        return b"".join(parts)

    return write_all


_KNOWN: dict[str, dict[str, _Write]] = {}

_REQUESTS: dict[Signal, _Write] = {
    Signal.TRACES: _message(ExportTraceServiceRequest.DESCRIPTOR, _KNOWN),
    Signal.LOGS: _message(ExportLogsServiceRequest.DESCRIPTOR, _KNOWN),
}

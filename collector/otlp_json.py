"""OTLP/JSON text → protobuf messages.

OTLP/JSON is protobuf's JSON mapping with one exception: trace and span ids are hex, not base64
(OpenTelemetry protocol specification, "JSON Protobuf Encoding"). protobuf's own parser takes a hex id as base64 and
silently makes other bytes of it, so ids are rewritten first. It also takes protobuf's own field names (`trace_id`) and
enum names, which OTLP/JSON does not allow: files written by generic protobuf tools have them, so they are read.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

_ID_KEYS = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})

_HEX = re.compile(r"([0-9a-fA-F]{2})*")

_Message = TypeVar("_Message", bound=Message)


class OtlpJsonError(ValueError):
    """The text is not OTLP/JSON."""


def parse(text: str | bytes, message: _Message) -> _Message:
    """Parse one OTLP/JSON object into ``message``; unknown names are ignored, as the specification demands.

    Raises:
        OtlpJsonError: the text is not JSON, an id is not hex, or a field has the wrong type.
    """
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise OtlpJsonError("it is not a JSON object")
        return json_format.ParseDict(_with_base64_ids(value), message, ignore_unknown_fields=True)
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise OtlpJsonError(f"This is not OTLP/JSON: {error}") from error
    except json_format.ParseError as error:
        raise OtlpJsonError(f"This is not OTLP/JSON: {error}") from error


def _with_base64_ids(value: Any) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, dict):
        return {key: _base64(item) if key in _ID_KEYS else _with_base64_ids(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_base64_ids(item) for item in value]
    return value


def _base64(identifier: Any) -> Any:  # noqa: ANN401
    if not isinstance(identifier, str):
        return identifier
    if not _HEX.fullmatch(identifier):
        raise OtlpJsonError(f"the id {identifier!r} is not hexadecimal")
    return base64.b64encode(bytes.fromhex(identifier)).decode("ascii")

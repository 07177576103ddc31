"""A JSON webhook, signed as Standard Webhooks describe it (https://www.standardwebhooks.com, version 1.0.0)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import unquote

from analytics.alerts.message import Message
from analytics.errors import InputError
from spanverdict.alert_channels.http import Post

_PREFIX = "whsec_"
_LEAST_BYTES = 24
"""Bytes of a secret, at least, as the specification recommends."""


def build(
    message: Message,
    *,
    delivery_id: str,
    url: str,
    now: datetime,
    secret: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    base_url: str | None = None,
    timeout_seconds: float = 10.0,
) -> Post:
    """The request that carries a message.

    Args:
        message: what is told.
        delivery_id: its identity, the same at every attempt: what a receiver drops repetitions by.
        url: where to.
        now: when it is sent (UTC, aware); each attempt has its own.
        secret: the key that it is signed with; None leaves the signature out.
        headers: further headers, whose values are secret.
        base_url: where reports can be seen; None where nobody shows them.
        timeout_seconds: how long it may take.
    """
    body = json.dumps(document(message, base_url), ensure_ascii=True, allow_nan=False).encode()
    timestamp = str(int(now.timestamp()))
    signed = {} if secret is None else {"webhook-signature": signature(secret, delivery_id, timestamp, body)}
    own = {
        "content-type": "application/json",
        "user-agent": "spanverdict",
        "webhook-id": delivery_id,
        "webhook-timestamp": timestamp,
        # For receivers and gateways that know this name instead.
        "idempotency-key": delivery_id,
        **signed,
    }
    extra = {key: value for key, value in (headers or {}).items() if key.lower() not in own}
    return Post(url, body, {**own, **extra}, frozenset(key.lower() for key in extra), timeout_seconds)


def document(message: Message, base_url: str | None) -> dict[str, object]:
    """The body: ``type``, ``timestamp`` and the message as ``data``."""
    told = message.to_dict()
    data = {key: value for key, value in told.items() if key not in ("type", "timestamp")}
    return {
        "type": told["type"],
        "timestamp": told["timestamp"],
        "data": {**data, "url": report_url(message, base_url)},
    }


def report_url(message: Message, base_url: str | None) -> str | None:
    """Where the report of a message can be seen; None where that is not known."""
    if base_url is None or message.report is None:
        return None
    return f"{base_url.rstrip('/')}/reports/{message.report['report_id']}"


def signature(secret: bytes, webhook_id: str, timestamp: str, body: bytes) -> str:
    """The header ``webhook-signature``: v1 and the base64 of HMAC-SHA256 over ``id.timestamp.body``.

    That is the specification's symmetric signature ("Signature scheme").
    """
    digest = hmac.new(secret, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def read_secret(text: str, variable: str) -> bytes:
    """The key in a secret: base64, with or without the prefix ``whsec_``.

    Raises:
        InputError: it is no base64, or too short; the message does not repeat it.
    """
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _LEAST_BYTES:
        raise InputError(
            f"The environment variable {variable} holds no webhook secret: it should be {_PREFIX} and the base64 of "
            f"{_LEAST_BYTES} to 64 random bytes, as of `openssl rand -base64 32`."
        )
    return key


def read_headers(text: str, variable: str) -> dict[str, str]:
    """Headers as ``name=value,name=value``, values percent-encoded (as OTEL_EXPORTER_OTLP_HEADERS has them).

    Raises:
        InputError: it is not that; the message does not repeat it.
    """
    found = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, equals, value = part.partition("=")
        decoded = unquote(value.strip())
        if (
            not equals
            or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", key.strip())
            or re.search(r"[\x00-\x1f]", decoded)
        ):
            raise InputError(
                f"The environment variable {variable} holds no headers: write name=value, with a comma between two."
            )
        found[key.strip()] = decoded
    return found

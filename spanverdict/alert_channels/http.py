"""One POST request: bounded in time and bytes, without redirects, its failure a sentence that holds no secret."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp

from spanverdict.alert_channels.outcome import SENT, Outcome
from spanverdict.webhook_target import masked

MOST_BYTES = 65_536
"""Bytes of an answer that are read; what it says is not kept."""

LONGEST_WAIT_SECONDS = 6 * 3600.0
"""How long a receiver may ask us to wait."""

_RETRYABLE = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True)
class Post:
    """A request to send.

    Attributes:
        url: where to.
        body: its body.
        headers: its headers.
        secret_headers: the names, in lower case, of headers whose value no message shows.
        timeout_seconds: how long it may take, its whole answer included.
    """

    url: str = field(repr=False)
    body: bytes
    headers: Mapping[str, str] = field(repr=False)
    secret_headers: frozenset[str] = frozenset()
    timeout_seconds: float = 10.0

    def shown(self) -> list[str]:
        """The request as a person may see it: the URL's path and secret headers masked."""
        lines = [f"POST {masked(self.url)}"]
        for key, value in self.headers.items():
            lines.append(f"{key}: {'***' if key.lower() in self.secret_headers else value}")
        return lines


async def send(post: Post) -> Outcome:
    """Send a request.

    Answers of 2xx are taken as "arrived"; 408, 425, 429 and 5xx are tried again, as are failures of the connection; all
    else is given up.
    """
    who = masked(post.url)
    timeout = aiohttp.ClientTimeout(total=post.timeout_seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False, trust_env=True) as session,
            # A redirect could carry what is secret elsewhere.
            session.post(post.url, data=post.body, headers=dict(post.headers), allow_redirects=False) as response,
        ):
            outcome = _judge(who, response.status, response.headers.get("retry-after"))
            await response.content.read(MOST_BYTES)
    except TimeoutError:
        return Outcome(f"{who} did not answer within {post.timeout_seconds:g} s.")
    except aiohttp.InvalidURL:
        return Outcome(f"{who} is not a URL that can be asked; mend it in the configuration.", is_final=True)
    except aiohttp.ClientConnectorCertificateError:
        return Outcome(f"The certificate of {who} is not trusted.")
    except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
        return Outcome(f"{who} could not be reached: {_reason(error)}.")
    return outcome


def _judge(who: str, status: int, retry_after: str | None) -> Outcome:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return SENT
    if status in _RETRYABLE or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Outcome(f"{who} answered with HTTP {status}.", wait_seconds=wait_asked(retry_after, datetime.now(UTC)))
    if status < HTTPStatus.BAD_REQUEST:
        return Outcome(f"{who} redirects (HTTP {status}), which is not followed; name the final URL.", is_final=True)
    return Outcome(f"{who} refused the message with HTTP {status}; it is given up.", is_final=True)


def wait_asked(header: str | None, now: datetime) -> float | None:
    """The wait that a Retry-After header asks for, in seconds or as a date (RFC 9110, 10.2.3); None if it asks none.

    Args:
        header: the header's value.
        now: the present (UTC, aware).
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_WAIT_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, (aware - now).total_seconds()), LONGEST_WAIT_SECONDS)


def _reason(error: Exception) -> str:
    """Why a connection failed, in the system's words: the library's name the URL."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.split("[")[0].strip().rstrip(".").lower()
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | asyncio.IncompleteReadError):
        return "the connection ended before the answer"
    return type(error).__name__

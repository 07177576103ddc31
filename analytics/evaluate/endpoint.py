"""An OpenAI-compatible endpoint, asked over HTTP: bounded in bytes, time and attempts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import urlsplit

from analytics.evaluate.errors import CONNECTION, RATE_LIMITED, SERVER_ERROR, TIMEOUT, EvaluatorUnusableError

if TYPE_CHECKING:
    import aiohttp

MOST_BYTES = 2**20
"""Bytes of an answer; a longer one is given up."""

LONGEST_WAIT_SECONDS = 60.0
"""How long an endpoint may ask us to wait before we try again; if it asks for longer, the subject is left."""

FIRST_WAIT_SECONDS = 0.5

REFUSAL = "refusal"
CONTENT_FILTER = "content_filter"
CUT = "answer_cut"
MALFORMED = "malformed_response"

_MOST_TOKENS = 10**9
_UNUSABLE = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
)


@dataclass(frozen=True)
class Endpoint:
    """Where a judge answers, and how it is asked.

    Attributes:
        base_url: the URL before ``/chat/completions``, such as ``https://api.openai.com/v1``.
        model: the model that judges.
        api_key: what is sent as a bearer token; None sends none.
        key_name: the environment variable that the key came from, for messages.
        timeout_seconds: how long one attempt may take, its whole answer included.
        retries: attempts after the first.
        max_output_tokens: tokens that an answer may have.
        response_format: what is asked for: ``json_object``, or ``text`` where the endpoint knows no formats.
        parameters: further members of the request's body; one of a known name replaces ours.
    """

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    key_name: str | None = None
    timeout_seconds: float = 60.0
    retries: int = 3
    max_output_tokens: int = 512
    response_format: str = "json_object"
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The host, for messages and prices."""
        return urlsplit(self.base_url).hostname or self.base_url

    def session(self) -> aiohttp.ClientSession:
        """A session to ask with; made inside a running event loop."""
        # A third of a second, which every start of every command would take.
        import aiohttp  # noqa: PLC0415

        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        # Compressed answers would have to be bounded twice.
        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self.timeout_seconds),
            headers={**headers, "accept-encoding": "identity"},
            auto_decompress=False,
        )

    def body(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        """The body of a request."""
        body: dict[str, Any] = {"model": self.model, "messages": messages, "temperature": 0}
        if "max_completion_tokens" not in self.parameters:
            body["max_tokens"] = self.max_output_tokens
        if self.response_format != "text":
            body["response_format"] = {"type": self.response_format}
        return {**body, **self.parameters}


@dataclass(frozen=True)
class Reply:
    """What an attempt came to.

    Attributes:
        text: what the model said; None where it said nothing that can be used.
        error_type: why not.
        used: input and output tokens, if told.
        wait_seconds: how long to wait before another attempt; None if another would be no better.
    """

    text: str | None = None
    error_type: str | None = None
    used: tuple[int, int] | None = None
    wait_seconds: float | None = None


async def ask(
    endpoint: Endpoint, session: aiohttp.ClientSession, messages: list[dict[str, str]], attempt: int
) -> Reply:
    """Send one request.

    Args:
        endpoint: where to.
        session: of :meth:`Endpoint.session`.
        messages: what to ask.
        attempt: how many were sent for this before: what the wait grows with.

    Raises:
        EvaluatorUnusableError: the endpoint refuses whatever is asked.
    """
    import aiohttp  # noqa: PLC0415 (as above)

    wait = min(FIRST_WAIT_SECONDS * 2**attempt, LONGEST_WAIT_SECONDS)
    url = f"{endpoint.base_url.rstrip('/')}/chat/completions"
    try:
        # A redirect could carry the key elsewhere.
        async with session.post(url, json=endpoint.body(messages), allow_redirects=False) as response:
            _refuse_unusable(endpoint, response.status)
            if response.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT):
                return _again(RATE_LIMITED, _retry_after(response.headers.get("retry-after"), wait))
            if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return _again(SERVER_ERROR, _retry_after(response.headers.get("retry-after"), wait))
            if response.status != HTTPStatus.OK:
                return Reply(error_type=f"http_{response.status}")
            return _read(await _bounded(response))
    except TimeoutError:
        return _again(TIMEOUT, wait)
    except (aiohttp.ClientError, OSError):
        return _again(CONNECTION, wait)


def _refuse_unusable(endpoint: Endpoint, status: int) -> None:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        named = f"the key in {endpoint.key_name}" if endpoint.key_name else "a request without a key; set api_key_env"
        raise EvaluatorUnusableError(f"The judge at {endpoint.host} refuses {named} (HTTP {status}).")
    if status in _UNUSABLE or HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise EvaluatorUnusableError(
            f"The judge at {endpoint.host} does not know the model {endpoint.model} or the path (HTTP {status}); check "
            "base_url and model."
        )


def _again(error_type: str, wait: float | None) -> Reply:
    return Reply(error_type=error_type, wait_seconds=wait)


def _retry_after(header: str | None, wait: float) -> float | None:
    """What the endpoint asks for in whole seconds (RFC 9110, 10.2.3), else our own; None if that is too long."""
    if header is None or not (header.isascii() and header.isdigit()):
        return wait
    asked = float(header[:9])
    return asked if asked <= LONGEST_WAIT_SECONDS else None


async def _bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """The body; None if it is too long."""
    body = bytearray()
    async for piece in response.content.iter_chunked(65_536):
        body += piece
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)


def _read(body: bytes | None) -> Reply:
    try:
        reply = json.loads(body or b"")
        choice = reply["choices"][0]
        message = choice["message"]
        content = message.get("content")
        finish, refusal = choice.get("finish_reason"), message.get("refusal")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return Reply(error_type=MALFORMED)
    used = _used(reply.get("usage"))
    if refusal:
        return Reply(error_type=REFUSAL, used=used)
    if finish == CONTENT_FILTER:
        return Reply(error_type=CONTENT_FILTER, used=used)
    if not isinstance(content, str) or not content.strip():
        return Reply(error_type=CUT if finish == "length" else MALFORMED, used=used)
    return Reply(content, CUT if finish == "length" else None, used)


def _used(usage: Any) -> tuple[int, int] | None:  # noqa: ANN401 (JSON)
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if _is_count(read) and _is_count(written):
        return read, written
    return None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS

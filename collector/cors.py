"""Pages that may send from the browser: Cross-Origin Resource Sharing (Fetch standard, "CORS protocol")."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

_HEADERS = "Authorization, Content-Encoding, Content-Type, Idempotency-Key"
_SECONDS = "600"
"""How long a browser may remember a preflight's answer."""


class Cors:
    """Lets the pages of some origins in; where there are none, browsers keep all others' away.

    Args:
        origins: such as ``https://shop.example``.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.lower() for origin in origins)

    def preflight(self, request: web.BaseRequest) -> web.Response | None:
        """What to answer to a preflight; None where the request is none, or nobody may send from a browser."""
        if not self._origins or request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        answer = web.Response(status=204)
        self.allow(request, answer)
        if "Access-Control-Allow-Origin" in answer.headers:
            answer.headers["Access-Control-Allow-Methods"] = "POST"
            answer.headers["Access-Control-Allow-Headers"] = _HEADERS
            answer.headers["Access-Control-Max-Age"] = _SECONDS
        return answer

    def allow(self, request: web.BaseRequest, answer: web.Response) -> None:
        """Let the page that sent a request read its answer, if it is of one of the origins."""
        if not self._origins:
            return
        answer.headers["Vary"] = "Origin"
        origin = request.headers.get("Origin", "")
        if origin.lower() in self._origins:
            answer.headers["Access-Control-Allow-Origin"] = origin
            answer.headers["Access-Control-Expose-Headers"] = "Retry-After"

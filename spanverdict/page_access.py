"""Who may look at the pages: whoever has a token that may read, or, without tokens, who sits at this machine.

Without tokens the pages are for loopback alone, and for requests that name this machine: what was made to point here
under a name of its own (DNS rebinding) names another.
"""

from __future__ import annotations

import ipaddress

from aiohttp import web

from collector.credentials import Credentials, ForbiddenError
from spanverdict.listeners import host, is_loopback

_PROXIED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")

_MEND = "Configure [[tokens]], or set server.pages = false."


class PageAccess:
    """Decides who may read.

    Args:
        credentials: the tokens; empty for none.
        address: host:port that the pages are served at.
        client_certificates: whether only clients with a certificate of a known authority come as far as this.
    """

    def __init__(self, credentials: Credentials, address: str, *, client_certificates: bool) -> None:
        self._credentials = credentials
        self._address = address
        self._client_certificates = client_certificates

    def check(self, request: web.BaseRequest) -> None:
        """Let a request pass.

        Raises:
            UnauthenticatedError: tokens are asked for, and this one has none that is known.
            ForbiddenError: it may not read; the message says what to do.
        """
        if self._credentials:
            self._credentials.find_reader(request.headers.get("Authorization"))
            return
        if self._client_certificates:
            return
        if not is_loopback(self._address):
            raise ForbiddenError(
                f"Pages show prompts and answers, and {self._address} can be reached without a token. {_MEND}"
            )
        if any(header in request.headers for header in _PROXIED):
            raise ForbiddenError(f"This came through a proxy, and the pages ask for no token. {_MEND}")
        if not _is_this_machine(request.headers.get("Host", ""), host(self._address)):
            raise ForbiddenError(f"Without tokens the pages answer under the names of this machine only. {_MEND}")


def _is_this_machine(named: str, bound: str) -> bool:
    """Whether a Host header names loopback, or what the server is bound to.

    Args:
        named: the header, with or without a port.
        bound: the host that the server was told to listen on.
    """
    name = named.rpartition("]")[0].lstrip("[") if named.startswith("[") else named.partition(":")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.lower() in {"localhost", bound.strip("[]").lower()}

"""PostgreSQL's protocol for BI tools: connections, passwords, and whose query is to be stopped.

A thread for each connection; a query runs in the server of the store, not here, unless the store is a lake.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import secrets
import select
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from pygwire import messages
from pygwire.codec import FrontendMessageDecoder
from pygwire.constants import ConnectionPhase
from pygwire.exceptions import PygwireError

from collector.credentials import Credentials, ForbiddenError, UnauthenticatedError
from spanverdict.pg_answers import Answers
from spanverdict.pg_session import PgSession, error_response
from spanverdict.pg_settings import REPORTED, SETTINGS
from sql.address import StoreAddress
from sql.errors import StoreError
from sql.query_limits import QueryLimits
from sql.server_file import ServerFile

_LOG = logging.getLogger("spanverdict.pg")

_STARTUP_BYTES = 10_000
"""As PostgreSQL's own MAX_STARTUP_PACKET_LENGTH: nobody has shown a password yet."""

_MESSAGE_BYTES = 16 * 2**20
"""The longest message that is taken: a query with its parameters."""

_LOGIN_SECONDS = 30.0
_READ_BYTES = 65_536
_REFUSED, _TOO_MANY = "28P01", "53300"
"""SQLSTATE: invalid password, too many connections."""

_PROTOCOL_3 = 3 << 16
_REPORTED_NAMES = {name: name for name in REPORTED} | {
    "datestyle": "DateStyle",
    "intervalstyle": "IntervalStyle",
    "timezone": "TimeZone",
}
"""As PostgreSQL spells them."""


class PgServer(socketserver.ThreadingTCPServer):
    """Listens for PostgreSQL's clients.

    Args:
        address: host and port; port 0 takes a free one.
        store: a database file, whose server is asked, or a lake, which is attached.
        credentials: the tokens that open it; beside them the token in the server's file does.
        query_seconds: how long one query may take.
        password: one that opens it beside the tokens; None for no other.
        limits: of the answers from a lake; a server has its own.
        connections: how many there may be at once.

    Raises:
        OSError: the address cannot be bound.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        store: StoreAddress,
        credentials: Credentials,
        query_seconds: float,
        password: str | None = None,
        limits: QueryLimits | None = None,
        connections: int = 100,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._store = store
        self._credentials = credentials
        self._password = password
        self._answers = Answers(store, query_seconds, limits or QueryLimits())
        self._places = threading.Semaphore(connections)
        self._sessions: dict[tuple[int, bytes], PgSession] = {}
        super().__init__(address, _Connection)

    @contextlib.contextmanager
    def place(self) -> Iterator[bool]:
        """A place for a connection; whether there was one."""
        free = self._places.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self._places.release()

    @contextlib.contextmanager
    def session(
        self, send: Callable[[bytes], object], has_gone: Callable[[], bool]
    ) -> Iterator[tuple[PgSession, tuple[int, bytes]]]:
        """A session, and the key by which its queries can be stopped."""
        key = (secrets.randbits(31), secrets.token_bytes(4))
        session = PgSession(self._answers, send, has_gone)
        self._sessions[key] = session
        try:
            yield session, key
        finally:
            self._sessions.pop(key, None)
            session.close()

    def cancel(self, key: tuple[int, bytes]) -> None:
        """Stop the query of the session that was given this key."""
        if session := self._sessions.get(key):
            session.cancel()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 (as socketserver calls it)
        """A connection ended by an error of ours: one line, and the others go on."""
        _LOG.error("The connection of %s ended: %r", client_address, sys.exc_info()[1])

    def is_known(self, password: str) -> bool:
        """Whether a password is the one that was set, or a token that may read."""
        if self._password and hmac.compare_digest(self._password.encode(), password.encode()):
            return True
        with contextlib.suppress(ForbiddenError, UnauthenticatedError):
            if self._credentials and self._credentials.find_reader(f"Bearer {password}"):
                return True
        server = ServerFile.read(self._store) if isinstance(self._store, Path) else None
        return server is not None and hmac.compare_digest(server.token.encode(), password.encode())


class _Connection(socketserver.BaseRequestHandler):
    """One connection, from its first byte to its last."""

    server: PgServer
    request: socket.socket

    def setup(self) -> None:
        self._decoder = FrontendMessageDecoder()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle(self) -> None:
        """Serve it until the client goes."""
        try:
            with self.server.place() as free:
                self.request.settimeout(_LOGIN_SECONDS)
                if self._log_in(is_free=free):
                    self.request.settimeout(None)
                    self._serve()
        except (OSError, EOFError):
            pass  # The client has gone.
        except StoreError as error:
            self._end(str(error))
        except (PygwireError, UnicodeError, struct.error, ValueError, IndexError) as error:
            self._end(f"This is not PostgreSQL's protocol: {error}")

    def _serve(self) -> None:
        with self.server.session(self.request.sendall, self._has_gone) as (session, key):
            self._send(messages.AuthenticationOk())
            for name, spelled in _REPORTED_NAMES.items():
                self._send(messages.ParameterStatus(name=spelled, value=SETTINGS[name]))
            self._send(messages.BackendKeyData(process_id=key[0], secret_key=key[1]))
            self._decoder.phase = ConnectionPhase.READY
            session.ready()
            while not isinstance(message := self._next(_MESSAGE_BYTES), messages.Terminate):
                session.take(message)

    def _log_in(self, *, is_free: bool) -> bool:
        """Go as far as the password; whether the client may go on."""
        while isinstance(message := self._next(_STARTUP_BYTES), messages.SSLRequest | messages.GSSEncRequest):
            self.request.sendall(b"N")
        if isinstance(message, messages.CancelRequest):
            self.server.cancel((message.process_id, message.secret_key))
            return False
        if not isinstance(message, messages.StartupMessage):
            raise PygwireError("a connection begins with a StartupMessage")
        if not is_free:
            self._send(error_response("There are too many connections; close some.", _TOO_MANY, "FATAL"))
            return False
        unknown = [name for name in message.params if name.startswith("_pq_.")]
        if message.protocol_version > _PROTOCOL_3 or unknown:
            self._send(messages.NegotiateProtocolVersion(newest_minor=0, unrecognized=unknown))
        self._decoder.phase = ConnectionPhase.AUTHENTICATING
        self._send(messages.AuthenticationCleartextPassword())
        answer = self._next(_STARTUP_BYTES)
        if not isinstance(answer, messages.PasswordMessage):
            return False
        password = answer.password
        if self.server.is_known(password if isinstance(password, str) else password.decode()):
            return True
        said = "The password is not known: give a token of [[tokens]] that may read, the file's, or a server's own."
        self._send(error_response(said, _REFUSED, "FATAL"))
        _LOG.warning("A client at %s gave a password that is not known.", self.client_address[0])
        return False

    def _next(self, most: int) -> messages.PGMessage:
        """The next message.

        Args:
            most: bytes that it may have.

        Raises:
            EOFError: the client has gone.
            ValueError: it is longer.
        """
        while True:
            for message in self._decoder:
                return message
            if self._decoder.buffered > most:
                raise ValueError(f"a message has more than {most:,} bytes")
            data = self.request.recv(_READ_BYTES)
            if not data:
                raise EOFError
            self._decoder.feed(data)

    def _send(self, message: messages.PGMessage) -> None:
        self.request.sendall(message.to_wire())

    def _end(self, said: str) -> None:
        with contextlib.suppress(OSError):
            self._send(error_response(said, severity="FATAL"))

    def _has_gone(self) -> bool:
        """Whether the client has closed the connection; what it has sent since stays where it is."""
        try:
            readable, _, _ = select.select([self.request], [], [], 0)
            return bool(readable) and not self.request.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

"""Receivers of alerts on loopback: an HTTP server that answers as it is told, and a mail server."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiosmtpd.controller import Controller


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """An HTTP server.

    Attributes:
        answers: what to answer next: a status, or a status and headers, or "hang"; 200 when there are none left.
        received: the requests so far.
        url: where it is.
    """

    answers: list[Any] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        """Keep a request, and answer."""
        headers = {key.lower(): value for key, value in request.headers.items()}
        self.received.append(Received(request.path, headers, await request.read()))
        answer = self.answers.pop(0) if self.answers else 200
        if answer == "hang":
            await asyncio.sleep(3)
        status, more = answer if isinstance(answer, tuple) else (200 if answer == "hang" else answer, {})
        return web.Response(status=status, headers=more, text="ok")


@contextmanager
def http_receiver() -> Iterator[Receiver]:
    """A running HTTP receiver."""
    receiver = Receiver()
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stopping = asyncio.Event()

    async def main() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", receiver.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await stopping.wait()
        await runner.cleanup()
        # Those that hang: nobody waits for their answer.
        hanging = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(10)
        loop.close()


@dataclass
class Mailbox:
    """A mail server's handler: it keeps mails, or answers with what it is told."""

    mails: list[Any] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        """Keep a mail, and answer."""
        answer = self.answers.pop(0) if self.answers else "250 kept"
        if answer.startswith("250"):
            self.mails.append(envelope)
        return answer


@contextmanager
def mail_receiver(**settings: Any) -> Iterator[tuple[Mailbox, int]]:
    """A running mail server and its port."""
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **settings)
    controller.start()
    try:
        yield mailbox, controller.port
    finally:
        controller.stop()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

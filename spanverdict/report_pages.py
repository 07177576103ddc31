"""Stored reports as pages: each is rendered by a process of its own, one at a time, and kept for a while.

A report's libraries and memory stay out of the server's process, and a slow rendering holds up nobody but those who
wait for a report.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import html
import logging
import os
import re
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from analytics.report.text import name, sentence
from sql.address import StoreAddress

_LOG = logging.getLogger("spanverdict.pages")

RENDER_SECONDS = 60.0
"""How long a rendering may take, and how long somebody waits for their turn."""

MOST_BYTES = 64 * 2**20
"""Bytes of a rendered report."""

KEPT_BYTES = 16 * 2**20
"""Bytes of rendered reports that are kept, compressed."""

KEPT_SECONDS = 600.0
"""How long one is kept: what has been removed from the store is not shown for longer."""

_NICENESS = 10

_BODY = re.compile(r"<body[^>]*>")
# An id that is part of another link, or of what unfolds, stays as it is.
_TRACE_ID = re.compile(r"(<a [^>]*>|<summary[^>]*>)?<code>([0-9a-f]{32})</code>")
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')


class RenderError(Exception):
    """A report could not be rendered; the message says why."""


@dataclass(frozen=True)
class RenderedReport:
    """A report as a page.

    Attributes:
        body: the HTML, compressed with gzip.
        policy: what the document may do, as it says itself (Content-Security-Policy).
        until: when it is to be rendered again, on the monotonic clock.
    """

    body: bytes
    policy: str
    until: float


class ReportPages:
    """Renders stored reports.

    Args:
        store: the server's store.
        config_file: the configuration file that was named, None if none was.
        kept_bytes: bytes of compressed pages that are kept.
    """

    def __init__(self, store: StoreAddress, config_file: Path | None, kept_bytes: int = KEPT_BYTES) -> None:
        self._options = ["--db", str(store), *(["--config", str(config_file)] if config_file else [])]
        self._kept: OrderedDict[str, RenderedReport] = OrderedDict()
        self._kept_bytes = kept_bytes
        self._turn = asyncio.Lock()

    async def page(self, report_id: str, promotion: str) -> RenderedReport:
        """A stored report, rendered now or lately.

        Args:
            report_id: its identity.
            promotion: the promotion that it is of, for the way back.

        Raises:
            RenderError: it could not be rendered in time, or at all.
        """
        if (kept := self._lately(report_id)) is not None:
            return kept
        try:
            await asyncio.wait_for(self._turn.acquire(), RENDER_SECONDS)
        except TimeoutError:
            raise RenderError("Other reports are being rendered; ask again in a moment.") from None
        try:
            # Whoever had the turn before may have asked for the same.
            if (kept := self._lately(report_id)) is not None:
                return kept
            document = await self._rendered(report_id)
            page = await asyncio.to_thread(_as_page, document, promotion)
            self._keep(report_id, page)
            return page
        finally:
            self._turn.release()

    def _lately(self, report_id: str) -> RenderedReport | None:
        kept = self._kept.get(report_id)
        if kept is None or time.monotonic() > kept.until:
            return None
        self._kept.move_to_end(report_id)
        return kept

    def _keep(self, report_id: str, page: RenderedReport) -> None:
        self._kept.pop(report_id, None)
        self._kept[report_id] = page
        while sum(len(each.body) for each in self._kept.values()) > self._kept_bytes:
            self._kept.popitem(last=False)

    async def _rendered(self, report_id: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "spanverdict", "reports", "show", report_id, "--format", "html", *self._options,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
        try:
            async with asyncio.timeout(RENDER_SECONDS):
                document, said = await asyncio.gather(_read(process.stdout), _read(process.stderr))
                status = await process.wait()
        except TimeoutError:
            raise RenderError(f"The report took longer than {RENDER_SECONDS:.0f} seconds to render.") from None
        finally:
            # Nobody waits for it any more, whichever way this ends.
            if process.returncode is None:
                process.kill()
                await process.wait()
        if status != 0:
            lines = said.decode("utf-8", "replace").strip().splitlines()
            why = lines[-1] if lines else f"status {status}"
            _LOG.warning("Report %s could not be rendered: %s", report_id, why)
            raise RenderError(f"The report could not be rendered: {sentence(why)}")
        return document


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    """All that comes.

    Raises:
        RenderError: it is more than a page may be.
    """
    parts: list[bytes] = []
    left = MOST_BYTES
    while stream is not None and (part := await stream.read(2**18)):
        left -= len(part)
        if left < 0:
            raise RenderError(f"The report is larger than {MOST_BYTES // 2**20} MiB; save it with --out.")
        parts.append(part)
    return b"".join(parts)


def _as_page(document: bytes, promotion: str) -> RenderedReport:
    """The document with the way back and with links to its traces, which the file that people send has not."""
    text = document.decode("utf-8")
    told = _POLICY.search(text)
    policy = html.unescape(told[1]) if told else "default-src 'none'; style-src 'unsafe-inline'"
    text = _TRACE_ID.sub(lambda at: at[0] if at[1] else f'<a href="/traces/{at[2]}">{at[0]}</a>', text)
    back = html.escape(quote(promotion, safe=""))
    nav = (
        '<nav style="padding: .75rem 1.25rem 0; max-width: 80rem; margin: 0 auto" aria-label="Pages">'
        f'<a href="/">Promotions</a> / <a href="/promotions/{back}">{html.escape(name(promotion))}</a></nav>'
    )
    text = _BODY.sub(lambda body: body[0] + nav, text, count=1)
    return RenderedReport(gzip.compress(text.encode(), 6), policy, time.monotonic() + KEPT_SECONDS)

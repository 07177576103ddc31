"""The pages of a server: promotions, their verdicts, past reports and single traces, for reading alone.

Whatever comes with a request is taken for hostile: ids by their pattern, names by a look-up, pages by number. Reads go
through the store's readers in threads, a few at a time, so that what is received is not held up.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote

from aiohttp import web
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from analytics.report import formatting
from analytics.report.text import name, sentence
from analytics.report.trace_html import trace_html
from analytics.trace_reading import read_traces
from collector.credentials import ForbiddenError, UnauthenticatedError
from spanverdict import page_reads
from spanverdict.page_access import PageAccess
from spanverdict.page_reads import PROMOTIONS, REPORTS, PageStore
from spanverdict.report_pages import RenderError, ReportPages
from sql.errors import QueryError, StoreError
from sql.opened_store import OpenedStore

_LOG = logging.getLogger("spanverdict.pages")

AT_ONCE = 2
"""Pages that are read and written at once; others wait."""

MOST_WAITING = 50
"""Requests that wait for their turn; past that they are told to come again."""

MOST_PAGES = 100_000

_ID = re.compile(r"[0-9a-f]{32}")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_ALWAYS = ("base-uri", "form-action", "frame-ancestors")

_ENVIRONMENT = Environment(
    loader=ChoiceLoader([PackageLoader("spanverdict", "templates"), PackageLoader("analytics.report", "templates")]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(
    name=name,
    sentence=sentence,
    instant=formatting.instant,
    metric=formatting.metric_label,
    quoted=lambda text: quote(text, safe=""),
    trace=trace_html,
)

T = TypeVar("T")


@dataclass
class _PageError(Exception):
    """A request that gets a sentence instead of what it asked for."""

    status: int
    message: str
    headers: dict[str, str]


def _not_found(message: str) -> _PageError:
    return _PageError(404, message, {})


class Pages:
    """Answers people.

    Args:
        store: the server's store.
        access: who may read.
        reports: renders stored reports.
        refused: told why, when somebody may not read.
    """

    def __init__(
        self, store: OpenedStore, access: PageAccess, reports: ReportPages, refused: Callable[[str], None]
    ) -> None:
        self._store = store
        self._access = access
        self._reports = reports
        self._refused = refused
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request by GET or HEAD."""
        try:
            self._check(request)
            return await self._answer(request)
        except _PageError as error:
            return _error_page(error)
        except Exception:  # noqa: BLE001 (whatever was asked for, the answer is a page and the log has the rest)
            _LOG.exception("A page could not be made")
            return _error_page(_PageError(500, "The page could not be made; the server's log says why.", {}))

    def _check(self, request: web.BaseRequest) -> None:
        try:
            self._access.check(request)
        except UnauthenticatedError as error:
            self._refused("unauthenticated")
            asked = {"WWW-Authenticate": 'Basic realm="spanverdict", charset="UTF-8"'}
            raise _PageError(401, str(error), asked) from error
        except ForbiddenError as error:
            self._refused("forbidden")
            raise _PageError(403, str(error), {}) from error

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        kind, _, rest = request.path.lstrip("/").partition("/")
        if not rest and kind == "":
            return await self._home(_page_number(request))
        if not rest and kind == "favicon.ico":
            return web.Response(status=204)
        if kind == "promotions":
            return await self._promotion(rest, _page_number(request))
        if kind == "reports":
            return await self._report(rest, compressed="gzip" in request.headers.get("Accept-Encoding", ""))
        if kind == "traces":
            return await self._trace(rest)
        raise _not_found("There is no such page. OTLP is posted to /v1/traces and /v1/logs.")

    async def _home(self, page: int) -> web.Response:
        def read(store: PageStore) -> web.Response:
            listed, count = page_reads.promotions(store, page)
            return _page("promotions", listed=listed, count=count, page=page, pages=_pages(count, PROMOTIONS))

        return await self._read(read)

    async def _promotion(self, promotion: str, page: int) -> web.Response:
        def read(store: PageStore) -> web.Response:
            found = page_reads.promotion(store, promotion)
            if found is None:
                raise _not_found("There is no promotion of that name.")
            return _page(
                "promotion", found=found, reports=page_reads.reports(store, promotion, page), page=page,
                pages=_pages(found.reports, REPORTS), changes=page_reads.decisions(store, promotion),
                most_cohorts=page_reads.MOST_COHORTS, deciding=page_reads.DECIDING_REPORTS,
            )  # fmt: skip

        return await self._read(read)

    async def _trace(self, trace_id: str) -> web.Response:
        trace_id = _identity(trace_id, "trace")

        def read(store: PageStore) -> web.Response:
            view = read_traces(store, [trace_id]).get(trace_id)
            if view is None:
                raise _not_found("There is no trace of that id: none came, or it has been removed.")
            return _page("one_trace", view=view)

        return await self._read(read)

    async def _report(self, report_id: str, *, compressed: bool) -> web.Response:
        report_id = _identity(report_id, "report")

        def read(store: PageStore) -> str:
            promotion = page_reads.promotion_of_report(store, report_id)
            if promotion is None:
                raise _not_found("There is no report of that id.")
            return promotion

        promotion = await self._read(read)
        try:
            rendered = await self._reports.page(report_id, promotion)
        except RenderError as error:
            raise _PageError(503, str(error), {"Retry-After": "5"}) from error
        body = rendered.body if compressed else await asyncio.to_thread(gzip.decompress, rendered.body)
        return _response(body, 200, rendered.policy, {"Content-Encoding": "gzip"} if compressed else {})

    async def _read(self, read: Callable[[PageStore], T]) -> T:
        """Read and write a page in a thread, when it is its turn."""
        if self._waiting >= MOST_WAITING:
            raise _PageError(503, "Too many pages are asked for at once; ask again in a moment.", {"Retry-After": "1"})
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(read, PageStore(self._store))
        except (QueryError, StoreError) as error:
            _LOG.warning("A page could not be read: %s", error)
            raise _PageError(503, "The store could not answer now; ask again.", {"Retry-After": "1"}) from error
        finally:
            self._waiting -= 1


def _identity(text: str, what: str) -> str:
    if not _ID.fullmatch(text.lower()):
        raise _not_found(f"This is not the id of a {what}: it has 32 hex digits.")
    return text.lower()


def _page_number(request: web.BaseRequest) -> int:
    given = request.query.get("page", "1")
    if not re.fullmatch(r"[0-9]{1,6}", given) or not 1 <= int(given) <= MOST_PAGES:
        raise _PageError(400, f"The page is not a number from 1 to {MOST_PAGES:,}.", {})
    return int(given)


def _pages(count: int, on_each: int) -> int:
    return max(1, -(-count // on_each))


def _error_page(error: _PageError) -> web.Response:
    title = HTTPStatus(error.status).phrase
    return _page("error", error.status, error.headers, title=title, message=error.message)


def _page(template: str, status: int = 200, headers: dict[str, str] | None = None, **values: object) -> web.Response:
    text = _ENVIRONMENT.get_template(f"{template}.html.jinja").render(values)
    return _response(text.encode(), status, _POLICY, headers or {})


def _response(body: bytes, status: int, policy: str, headers: dict[str, str]) -> web.Response:
    """A page that no other site can frame or read, and that nobody keeps: it may quote what users wrote."""
    said = {directive.split()[0] for directive in policy.split(";") if directive.strip()}
    policy = "; ".join([policy, *(f"{directive} 'none'" for directive in _ALWAYS if directive not in said)])
    return web.Response(
        body=body,
        status=status,
        content_type="text/html",
        charset="utf-8",
        headers={
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store, private",
            "Vary": "Accept-Encoding, Authorization",
            **headers,
        },
    )

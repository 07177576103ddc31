"""The pages of a server: what they show, to whom, and that whatever comes with a request stays harmless."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import http.client
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from click.testing import Result

from collector.credentials import Credentials, ForbiddenError
from spanverdict.page_access import PageAccess
from spanverdict.report_pages import RenderedReport, RenderError, ReportPages
from tests.spanverdict.browser import browser

pytestmark = pytest.mark.any_store(slow=True)


SCRIPT = "<script>alert(1)</script>"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Message
    text: str


def ask(server: Any, path: str, method: str = "GET", **headers: str) -> Answer:
    """One request, as a browser would make it; underscores of header names are hyphens."""
    connection = http.client.HTTPConnection(server.told.http, timeout=90)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        body = response.read()
        body = gzip.decompress(body) if response.headers["Content-Encoding"] == "gzip" else body
        return Answer(response.status, response.headers, body.decode())
    finally:
        connection.close()


@pytest.fixture
def reported(incident: Path, cli: Callable[..., Result]) -> tuple[Path, str]:
    """A store with an incident and one report on it, and the report's id."""
    made = cli("report", "p", "--as-of", "2026-11-12T00:00Z")
    assert made.exit_code == 1, made.output
    cli("promotion", "add", SCRIPT, "--base", "m0", "--candidate", "m1", "--at", "2026-11-01T00:00Z",
        "--cohort-by", "app.cohort")  # fmt: skip
    listed = cli("reports", "list", "--format", "csv").stdout.splitlines()[1]
    return incident, listed.partition(",")[0]


def test_promotions_reports_and_traces_are_shown(reported: tuple[Path, str], start_server: Callable[..., Any]) -> None:
    """Each page says what the store holds, keeps to itself, and answers while a report is being rendered."""
    db, report_id = reported
    server = start_server(db)
    rendering: list[Answer] = []
    waiting = threading.Thread(target=lambda: rendering.append(ask(server, f"/reports/{report_id}")))
    waiting.start()
    home = ask(server, "/")
    assert "REGRESSED" in home.text
    assert "error rate" in home.text
    assert f"/reports/{report_id}" in home.text
    assert SCRIPT not in home.text
    assert "There is no report yet" in home.text
    promotion = ask(server, "/promotions/p")
    assert "roll back" in promotion.text
    assert "1 report" in promotion.text
    trace_id = hashlib.blake2b(b"m1-0", digest_size=16).hexdigest()
    trace = ask(server, f"/traces/{trace_id.upper()}")
    assert trace.status == 200
    assert trace_id in trace.text
    assert "No messages are stored" in trace.text
    assert not rendering, "other pages do not wait for a report"
    waiting.join()
    assert rendering[0].status == 200
    assert '<a href="/promotions/p">p</a>' in rendering[0].text
    assert ask(server, "/promotions/%3Cscript%3Ealert(1)%3C%2Fscript%3E").status == 200
    began = time.monotonic()
    again = ask(server, f"/reports/{report_id}", Accept_Encoding="gzip")
    assert time.monotonic() - began < 1
    assert again.text == rendering[0].text

    for answer in (home, promotion, trace, rendering[0]):
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        for directive in ("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"):
            assert directive in policy
        assert answer.headers["Cache-Control"] == "no-store, private"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert ask(server, "/", "HEAD").text == ""
    assert ask(server, "/", "HEAD").status == 200
    loaded = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert not [name for name in ("polars", "matplotlib", "scipy") if f"/{name}" in loaded]


def test_what_comes_with_a_request_is_harmless(reported: tuple[Path, str], start_server: Callable[..., Any]) -> None:
    """Unknown and hostile paths, ids, names and numbers get a sentence, which repeats nothing of them."""
    server = start_server(reported[0], "--http", "127.0.0.1:0")
    hostile = "%3Cscript%3Ealert(2)%3C/script%3E"
    for path, status in (
        ("/nothing", 404), ("/traces/", 404), (f"/traces/{hostile}", 404), ("/traces/" + "f" * 32, 404),
        ("/traces/" + "f" * 31, 404), (f"/reports/{hostile}", 404), ("/reports/" + "0" * 32, 404),
        (f"/promotions/{hostile}", 404), ("/promotions/", 404), ("/promotions/p?page=0", 400),
        (f"/?page={hostile}", 400), ("/?page=1%27%20OR%201=1", 400), ("/?page=" + "9" * 4_000, 400),
        ("/../../etc/passwd", 404), ("/%2e%2e/%2e%2e/etc/passwd", 404), ("/traces/%00", 404), ("//evil.example", 404),
        ("/promotions/p?page=99999", 200), ("/promotions/" + "x" * 6_000, 404),
    ):  # fmt: skip
        answer = ask(server, path)
        assert answer.status == status, path
        assert "alert(2)" not in answer.text
        assert "Traceback" not in answer.text
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert ask(server, "/", Host="evil.example").status == 403
    assert ask(server, "/", "POST").status == 404
    assert ask(server, "/v1/traces").status == 405
    assert "forbidden" in metrics(server)


def metrics(server: Any) -> str:
    """What monitoring tells."""
    with urllib.request.urlopen(f"http://{server.told.monitoring}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def test_tokens_open_the_pages(workdir: Path, start_server: Callable[..., Any]) -> None:
    """A token that may read, as a bearer's or as a password; others are told why not, and counted."""
    hashes = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("reader", "sender", "thumbs")}
    more = {"sender": "pages = false", "thumbs": "feedback_only = true"}
    config = workdir / "c.toml"
    config.write_text("[server]\ncors_origins = ['https://shop.example']\n" + "".join(
        f"[[tokens]]\nname = '{name}'\nsha256 = '{digest}'\n{more.get(name, '')}\n" for name, digest in hashes.items()
    ))  # fmt: skip
    server = start_server(None, "--config", str(config))
    asked = ask(server, "/")
    assert asked.status == 401
    assert asked.headers["WWW-Authenticate"] == 'Basic realm="spanverdict", charset="UTF-8"'

    def basic(pair: str) -> str:
        return "Basic " + base64.b64encode(pair.encode()).decode()

    for given in ("Bearer reader", "bearer  reader ", basic("anybody:reader"), basic(":reader")):
        answer = ask(server, "/", Authorization=given, Host="verdicts.example", Origin="https://shop.example")
        assert answer.status == 200, given
        assert "No promotion is registered yet" in answer.text
        assert answer.headers["Access-Control-Allow-Origin"] is None
    for given in (
        "Bearer wrong",
        "Basic !",
        basic("reader"),
        basic("reader:"),
        "Basic",
        "Digest reader",
        "Bearer \xff",
    ):
        assert ask(server, "/", Authorization=given).status == 401, given
    for given in ("Bearer sender", basic("x:thumbs")):
        refused = ask(server, "/", Authorization=given)
        assert refused.status == 403
        assert "sending only" in refused.text
    assert ask(server, "/favicon.ico").status == 401
    told = metrics(server)
    assert 'spanverdict_requests_refused_total{reason="unauthenticated"} 9.0' in told
    assert 'spanverdict_requests_refused_total{reason="forbidden"} 2.0' in told


def test_pages_can_be_left_out(workdir: Path, start_server: Callable[..., Any]) -> None:
    """Turned off there is nothing, as before there were any."""
    (workdir / "off.toml").write_text("[server]\npages = false\n")
    answer = ask(start_server(None, "--config", str(workdir / "off.toml")), "/")
    assert answer.status == 404
    assert '"code"' in answer.text


@pytest.mark.parametrize(
    ("address", "host", "more", "certificates", "refused"),
    [
        ("127.0.0.1:4318", "127.0.0.1:4318", {}, False, None),
        ("127.0.0.1:4318", "LOCALHOST", {}, False, None),
        ("[::1]:4318", "[::1]:4318", {}, False, None),
        ("127.0.0.1:4318", "evil.example:4318", {}, False, "under the names of this machine only"),
        ("127.0.0.1:4318", "127.0.0.1.evil.example", {}, False, "under the names of this machine only"),
        ("127.0.0.1:4318", "", {}, False, "under the names of this machine only"),
        ("127.0.0.1:4318", "localhost", {"X-Forwarded-For": "10.0.0.1"}, False, "through a proxy"),
        ("0.0.0.0:4318", "127.0.0.1:4318", {}, False, "can be reached without a token"),
        ("0.0.0.0:4318", "verdicts.example", {}, True, None),
    ],
)
def test_without_tokens_pages_are_for_this_machine(
    address: str, host: str, more: dict[str, str], certificates: bool, refused: str | None
) -> None:
    """Where others can reach them, or a name or a proxy leads here, there is a sentence with the mend."""
    request = make_mocked_request("GET", "/", headers={"Host": host, **more})
    access = PageAccess(Credentials(), address, client_certificates=certificates)
    if refused is None:
        access.check(request)
        return
    with pytest.raises(ForbiddenError, match=refused) as caught:
        access.check(request)
    assert str(caught.value).endswith("Configure [[tokens]], or set server.pages = false.")


def test_a_report_that_cannot_be_rendered_says_why(db: Path) -> None:
    """The process's last sentence is told; what is kept is bounded, the one that was not asked for longest goes."""

    async def run() -> None:
        pages = ReportPages(db, None, kept_bytes=100)
        with pytest.raises(RenderError, match="There is no report"):
            await pages.page("0" * 32, "p")
        for number in range(3):
            pages._keep(str(number), RenderedReport(b"x" * 40, "", time.monotonic() + 60))
        assert sorted(pages._kept) == ["1", "2"]
        assert (await pages.page("2", "p")).body == b"x" * 40

    asyncio.run(run())


def test_a_person_finds_the_trace(reported: tuple[Path, str], start_server: Callable[..., Any], tmp_path: Path) -> None:
    """In a browser: over promotion and report to a trace, by clicking, without a complaint or a foreign request."""
    server = start_server(reported[0])
    own = f"http://{server.told.http}/"

    async def walk() -> None:
        async with browser(tmp_path / "browser") as tab:
            await tab.size(390, 844, phone=True)
            await tab.open(own)
            await tab.click("a[href='/promotions/p']")
            assert await tab.run("document.querySelector('h1').innerText") == "p REGRESSED"
            assert await tab.run("document.documentElement.scrollWidth <= innerWidth")
            await tab.click("a[href^='/reports/']")
            assert await tab.run("location.pathname") == f"/reports/{reported[1]}"
            await tab.run("document.querySelectorAll('details').forEach(one => one.open = true)")
            await tab.click("a[href^='/traces/']")
            assert await tab.run("document.querySelector('h1').innerText") == "Trace"
            assert await tab.run("document.querySelectorAll('.waterfall .bar').length") == 1
            assert await tab.run("document.documentElement.scrollWidth <= innerWidth")
            assert tab.complaints == []
            assert [address for address in tab.requested if not address.startswith(own)] == []

    asyncio.run(walk())

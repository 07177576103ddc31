"""The report in a real browser: quiet, sortable, on a phone, in the dark, on paper, and large."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.spanverdict.browser import Tab, browser

Look = Callable[[Tab], Awaitable[Any]]


def seen(folder: Path, look: Look) -> Any:
    """What a person sees who opens a browser, checked to be without complaints and without a request elsewhere."""

    async def run() -> Any:
        async with browser(folder / "profile") as tab:
            found = await look(tab)
            assert tab.complaints == []
            assert {address.partition(":")[0] for address in tab.requested} == {"file"}
            assert len({address.partition("#")[0] for address in tab.requested}) == 1
            return found

    return asyncio.run(run())


async def column(tab: Tab, place: int) -> list[str]:
    """The texts of a column of the table of cost and tokens, without what stands below them."""
    found: list[str] = await tab.run(
        "[...document.querySelector('section[aria-labelledby=usage] tbody').rows]"
        f".map((row) => row.cells[{place}].innerText.split('\\n')[0])"
    )
    return found


def test_the_page_in_a_browser(incident_page: str, tmp_path: Path) -> None:
    """One visit: tables sort by mouse and keyboard, links unfold, phone, dark and paper fit, charts are read out."""

    async def look(tab: Tab) -> None:
        await tab.open(incident_page)
        await sorts(tab)
        await leads(tab)
        await fits_a_phone(tab)
        await goes_dark(tab)
        await prints(tab)
        await is_read_out(tab)
        await is_whole_without_script(tab, incident_page)

    seen(tmp_path, look)


async def sorts(tab: Tab) -> None:
    """Numbers sort by their value, what is unknown comes last, equal rows keep their order, and the head tells."""
    head = "document.querySelectorAll('section[aria-labelledby=usage] thead th')[3]"
    assert await tab.run(f"{head}.firstElementChild.tagName") == "BUTTON"
    before = await column(tab, 0)
    await tab.run(f"{head}.firstElementChild.click()")
    assert await tab.run(f"{head}.getAttribute('aria-sort')") == "ascending"
    costs = await column(tab, 3)
    assert costs == sorted(costs, key=lambda cost: (cost == "unknown", cost))
    assert costs[-1] == "unknown"
    await tab.run(f"{head}.firstElementChild.focus()")
    for kind in ("keyDown", "keyUp"):
        await tab.call(
            "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
        )
    assert await tab.run(f"{head}.getAttribute('aria-sort')") == "descending"
    again = await column(tab, 3)
    assert again[:4] == sorted(costs[:4], reverse=True)
    assert again[4:] == ["unknown"] * 2
    cohorts = await column(tab, 0)
    assert sorted(cohorts) == sorted(before)
    # Two cohorts cost the same in each arm: they stay in the order in which they were.
    assert cohorts[:2] == [name for name in dict.fromkeys(before) if name != "out_of_domain"]
    first = "document.querySelectorAll('section[aria-labelledby=usage] thead th')[0]"
    await tab.run(f"{first}.firstElementChild.click()")
    assert await column(tab, 0) == sorted(before)
    assert await tab.run("document.querySelectorAll('section[aria-labelledby=usage] [aria-sort]').length") == 1


async def leads(tab: Tab) -> None:
    """A cell of the grid leads to its row of the numbers, which unfolds."""
    inside = "document.querySelector('.cohort tbody tr').closest('details')"
    assert await tab.run(f"{inside}.open") is False
    await tab.run("document.querySelector('.grid a[href^=\"#row-1-\"]').click()")
    assert await tab.run(f"{inside}.open") is True
    assert await tab.run("document.querySelector(':target').tagName") == "TR"


async def fits_a_phone(tab: Tab) -> None:
    """Nothing makes the page wider than a phone, with all that is folded open."""
    await tab.size(360, 740, phone=True)
    await tab.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert await tab.run("[document.documentElement.scrollWidth, innerWidth]") == [360, 360]
    sizes = await tab.run("[...document.querySelectorAll('.chart')].map((each) => each.getBoundingClientRect().width)")
    assert sizes
    assert min(sizes) > 250


async def goes_dark(tab: Tab) -> None:
    """The page and its charts follow the reader's colours."""
    ask = "['body', '.chart text'].map((each) => getComputedStyle(document.querySelector(each)))"
    ask = f"{ask}.map((style, place) => place ? style.fill : style.backgroundColor)"
    await tab.size(1280, 900)
    light = await tab.run(ask)
    await tab.size(1280, 900, dark=True)
    dark = await tab.run(ask)
    assert light[0] == "rgb(255, 255, 255)"
    assert dark[0] == "rgb(20, 23, 27)"
    assert light[1] != dark[1]


async def prints(tab: Tab) -> None:
    """On paper the colours are light also for a reader in the dark, and what was folded is there."""
    await tab.run("document.querySelectorAll('details').forEach((each) => { each.open = false; })")
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    await tab.call("Emulation.setEmulatedMedia", media="print", features=[dark])
    assert await tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert await tab.run("document.querySelector('.cohort table').checkVisibility({contentVisibilityAuto: true})")
    height = await tab.run("document.querySelector('.cohort table').getBoundingClientRect().height")
    assert height > 50
    # Chromium draws no buttons in a head that it repeats on the next page.
    assert await tab.run("getComputedStyle(document.querySelector('thead button')).display") == "contents"
    printed = await tab.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")


async def is_read_out(tab: Tab) -> None:
    """To assistive technology each chart is one image with a name and a description that has numbers."""
    await tab.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    tree = await tab.call("Accessibility.getFullAXTree")
    images = [node for node in tree["nodes"] if node.get("role", {}).get("value") == "image"]
    assert len(images) == await tab.run("document.querySelectorAll('svg').length") > 10
    assert all(image["name"]["value"] for image in images)
    described = [image.get("description", {}).get("value", "") for image in images]
    assert all(any(character.isdigit() for character in said) for said in described)


async def is_whole_without_script(tab: Tab, address: str) -> None:
    """Where scripts are off, no head is a button and every row is there."""
    await tab.call("Emulation.setScriptExecutionDisabled", value=True)
    await tab.open(address)
    document = await tab.call("DOM.getDocument", depth=0)
    found = {}
    for selector in ("thead button", ".cohort tbody tr"):
        nodes = await tab.call("DOM.querySelectorAll", nodeId=document["root"]["nodeId"], selector=selector)
        found[selector] = len(nodes["nodeIds"])
    assert found == {"thead button": 0, ".cohort tbody tr": 10}


def test_a_large_page_is_bounded(large_page: str, tmp_path: Path) -> None:
    """Fifty cohorts of twenty metrics stay within what a browser opens at once (benchmarks/report_page.py)."""

    async def look(tab: Tab) -> list[int]:
        await tab.open(large_page)
        found: list[int] = await tab.run(
            "[document.querySelectorAll('*').length, document.querySelectorAll('.grid td a').length,"
            " document.documentElement.scrollWidth]"
        )
        return found

    elements, cells, width = seen(tmp_path, look)
    assert cells == 1000
    assert elements < 60_000
    assert width <= 1280
    assert Path(large_page.removeprefix("file://")).stat().st_size < 4_000_000


def test_hostile_text_acts_on_nothing(hostile_page: str, tmp_path: Path) -> None:
    """Whatever cohorts, metrics, models and messages say, nothing runs and the page keeps its width."""

    async def look(tab: Tab) -> None:
        await tab.size(390, 800, phone=True)
        await tab.open(hostile_page)
        await tab.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert await tab.run("document.documentElement.scrollWidth") == 390
        assert await tab.run("document.querySelectorAll('script').length") == 1
        assert "<script>alert(1)</script>" in await tab.run("document.body.innerText")

    seen(tmp_path, look)

"""A picture of a report for the README: ``python -m docs.screenshots REPORT.html``, from the repository's root."""

from __future__ import annotations

import asyncio
import base64
import sys
import tempfile
from pathlib import Path

from tests.spanverdict.browser import browser

TARGET = Path(__file__).parent / "images" / "report.png"


async def take(address: str) -> None:
    """Write what a reader sees first of a page."""
    with tempfile.TemporaryDirectory() as folder:
        async with browser(Path(folder)) as tab:
            await tab.size(1280, 1120)
            await tab.call("Emulation.setScrollbarsHidden", hidden=True)
            await tab.open(address)
            shot = await tab.call("Page.captureScreenshot", format="png")
    TARGET.write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    asyncio.run(take(Path(sys.argv[1]).resolve().as_uri()))

"""The HTML report of 50 cohorts and 20 metrics beside that of one cohort and 20: to render, and to open in Chromium.

Run from the repository's root: ``python -m benchmarks.report_page``.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path

from analytics.promotions import Promotion
from analytics.report import render
from analytics.report.model import Report, Verdict
from benchmarks.figures import tell
from tests.analytics.report.page.filled import of_many
from tests.spanverdict.browser import browser

OPENED = 5
# After two frames what was laid out has been painted.
PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"


def report(cohorts: int) -> Report:
    """A report of so many cohorts and 20 metrics."""
    moment = datetime(2026, 11, 16)  # noqa: DTZ001 (as the store's times: naive UTC)
    promotion = Promotion("many", "base", "candidate", "concurrent", datetime(2026, 11, 2), None, "app.cohort", 0.5)  # noqa: DTZ001
    return of_many(Report(promotion, moment, moment, None, "f00d", 0.05, Verdict.REGRESSED, (), ()), cohorts, 20)


async def opened(pages: dict[int, Path], folder: Path) -> dict[int, float]:
    """Seconds from asking for a page to its first frame, the median of several."""
    found: dict[int, list[float]] = {cohorts: [] for cohorts in pages}
    async with browser(folder) as tab:
        for _ in range(OPENED):
            for cohorts, page in pages.items():
                await tab.open(page.as_uri())
                said = await tab.call("Runtime.evaluate", expression=PAINTED, awaitPromise=True, returnByValue=True)
                found[cohorts].append(said["result"]["value"] / 1000)
    return {cohorts: statistics.median(seconds) for cohorts, seconds in found.items()}


def main() -> None:
    """Render and open both, and print the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        pages, rendered, sizes = {}, {}, {}
        render(report(1), "html")
        for cohorts in (1, 50):
            made = report(cohorts)
            began = time.process_time()
            text = render(made, "html")
            rendered[cohorts] = time.process_time() - began
            pages[cohorts] = Path(folder) / f"{cohorts}.html"
            pages[cohorts].write_text(text, "utf-8")
            sizes[cohorts] = len(text) / 1e6
            print(f"{cohorts} x 20: rendered in {rendered[cohorts]:.2f} s of processor time, {len(text) / 1e6:.2f} MB")
        seconds = asyncio.run(opened(pages, Path(folder) / "profile"))
    for cohorts, taken in seconds.items():
        print(f"{cohorts} x 20: painted after {taken:.2f} s (median of {OPENED})")
    print(f"50 cohorts over one: rendering {rendered[50] / rendered[1]:.1f}, opening {seconds[50] / seconds[1]:.1f}")
    tell(
        [
            {
                "cohorts": cohorts,
                "size, MB": sizes[cohorts],
                "rendering, s of processor time": rendered[cohorts],
                "opening, s": taken,
            }
            for cohorts, taken in seconds.items()
        ]
    )


if __name__ == "__main__":
    main()
